"""Summaries of segments, kept on disk: an archive is read once.

A summary is valid as long as the file has the size, the times and the first bytes that it had.
SQLite keeps what was written half-way, when the machine went down, from ever being read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.summary import SegmentSummary

FORMAT = 4
"""Rises whenever a summary changes its meaning: older ones are then forgotten."""

_HEADER_BYTES = 64
_BUSY_SECONDS = 5.0
_SCHEMA = """
create table if not exists segment (
    path text primary key,
    stamp blob not null,
    format integer not null,
    checked integer not null,
    summary blob not null
) without rowid
"""


def encode_summary(summary: SegmentSummary) -> bytes:
    """For the store, and for the way from a worker."""
    return msgspec.msgpack.encode(summary, enc_hook=_plain)


def decode_summary(content: bytes) -> SegmentSummary:
    """What `encode_summary` made; raises `msgspec.MsgspecError`."""
    return _DECODER.decode(content)


def _plain(value: object) -> int:
    assert isinstance(value, Lsn)
    return int(value)


def _lsn(wanted: type, value: object) -> object:
    return wanted(value)


_DECODER = msgspec.msgpack.Decoder(SegmentSummary, dec_hook=_lsn)


def stamp_of(path: str) -> bytes | None:
    """What tells that a file is still the one it was; None if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            begin = file.read(_HEADER_BYTES)
    except OSError:
        return None
    numbers = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return msgspec.msgpack.encode((numbers, begin))


class IndexStore:
    """The summaries of all archives of this machine, in one file.

    A store that cannot be opened, read or written costs time and no facts: it then keeps nothing.
    One that another process holds is waited for once.
    """

    def __init__(self, path: Path | None) -> None:
        """`path` None keeps nothing."""
        self._path = path
        self._database = self._open()

    def get(self, path: str, stamp: bytes, *, checked: bool) -> SegmentSummary | None:
        """The summary of a file with this stamp; `checked`: only with every CRC compared."""
        if self._database is None:
            return None
        try:
            row = self._database.execute(
                "select stamp, summary from segment where path = ? and format = ? and checked >= ?",
                (_key(path), FORMAT, int(checked)),
            ).fetchone()
            if row is None or row[0] != stamp:
                return None
            return decode_summary(row[1])
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self._give_up_if_held(error)
            return None

    def put(self, entries: Sequence[tuple[str, bytes, SegmentSummary]]) -> None:
        """Keep summaries, each with its file's path and stamp."""
        if self._database is None:
            return
        rows = [
            (_key(path), stamp, FORMAT, int(summary.checked), encode_summary(summary))
            for path, stamp, summary in entries
        ]
        try:
            with self._database as database:
                database.executemany("insert or replace into segment values (?,?,?,?,?)", rows)
        except sqlite3.Error as error:
            self._give_up_if_held(error)

    def count(self, directory: str) -> int:
        """How many summaries there are of files below a directory."""
        if self._database is None:
            return 0
        try:
            (count,) = self._database.execute(
                "select count(*) from segment where path >= ? and path < ?", _below(directory)
            ).fetchone()
            return int(count)
        except sqlite3.Error as error:
            self._give_up_if_held(error)
            return 0

    def forget_gone(self, directory: str, there: Collection[str]) -> None:
        """Drop what was kept of files below a directory that are no more.

        `there` saves looking for those that are known to be there.
        """
        if self._database is None:
            return
        try:
            with self._database as database:
                known = database.execute(
                    "select path from segment where path >= ? and path < ?", _below(directory)
                )
                unlisted = {path for (path,) in known}.difference(map(_key, there))
                gone = [path for path in unlisted if not os.path.lexists(path.partition("//")[0])]
                database.executemany(
                    "delete from segment where path = ?", [(path,) for path in gone]
                )
        except sqlite3.Error as error:
            self._give_up_if_held(error)

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _give_up_if_held(self, error: Exception) -> None:
        """Every further question would be waited for as long, one for each segment."""
        if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            self.close()

    def _open(self) -> sqlite3.Connection | None:
        if self._path is None:
            return None
        for _ in range(2):
            try:
                return self._connect(self._path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    return None  # no place to write, or another process holds it
                # Not a database, or a damaged one: all of it can be read again from the archive.
                with contextlib.suppress(OSError):
                    self._path.unlink()
        return None

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        # One thread at a time uses it, but not always the same one.
        database = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            database.execute(_SCHEMA)
            database.commit()
        except sqlite3.Error:
            database.close()
            raise
        with contextlib.suppress(OSError):  # not ours, or on a file system that is read-only
            os.chmod(path, 0o600)
        return database


def _key(path: str) -> str:
    """A path as SQLite takes it: not every name is text."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _below(directory: str) -> tuple[str, str]:
    """The range of keys of the files below a directory."""
    begin = f"{_key(directory).rstrip('/')}/"
    return begin, f"{begin[:-1]}0"
