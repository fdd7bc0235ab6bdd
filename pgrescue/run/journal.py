"""The append-only journal: one JSON record a line, on disk before what it announces is done.

Ahead of its end the file always has some room of its own (`RESERVE_BYTES`). When the file system is
full nothing new is begun any more, but what has been done, the run's outcome and an undo can still
be told.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pgrescue.codec import dumps, from_plain, has_surrogates, loads, to_plain
from pgrescue.errors import Refused
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.records import ANNOUNCEMENTS, AnyRecord, Progress

NAME = "journal.jsonl"
RESERVE_BYTES = 64 * 1024
"""Room for some two hundred records, several times what an undo needs."""
_STEP_BYTES = 16 * 1024
_KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE of fallocate(2): room beyond the file's end, which stays where it is."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def _decode_hook(wanted: type, value: object) -> object:
    if wanted is Lsn and isinstance(value, str):
        return Lsn.parse(value)
    raise NotImplementedError


_DECODER: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord, dec_hook=_decode_hook)


class Journal:
    """Appends records; the one writer is whoever holds the run's lock."""

    def __init__(self, path: Path, *, may_use_reserve: bool = False) -> None:
        """`may_use_reserve`: whether records that announce something may eat the reserve, too."""
        self.may_use_reserve = may_use_reserve
        self._path = path
        self._next = _repair(path) + 1
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size
        self._reserved = self._size
        self._is_torn = False

    def append(self, record: AnyRecord) -> None:
        """Write one record; it is synced to disk unless it only tells progress.

        Raises OSError if it is not there: then what it announces must not be done.
        """
        stamped = msgspec.structs.replace(record, seq=self._next, at=datetime.now(UTC))
        line = dumps(stamped).encode() + b"\n"
        if not self._reserve(len(line)):
            if isinstance(record, Progress):
                return  # the room is for what has to be known
            if isinstance(record, ANNOUNCEMENTS) and not self.may_use_reserve:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        if self._is_torn:
            # Half a record, or one that may not be on disk, would hide those that follow.
            self._cut()
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if not isinstance(record, Progress):
                os.fdatasync(self._fd)
        except OSError as error:
            self._is_torn = True
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._next += 1
        self._size += len(line)

    def close(self) -> None:
        """Close the file; a closed journal cannot be appended to."""
        os.close(self._fd)

    def _cut(self) -> None:
        os.ftruncate(self._fd, self._size)
        self._reserved = self._size
        self._is_torn = False

    def _reserve(self, length: int) -> bool:
        """Whether the reserve is whole even after a record of this length.

        True also where the file system cannot promise any room.
        """
        wanted = self._size + length + RESERVE_BYTES
        if wanted <= self._reserved:
            return True
        try:
            reserve_room(self._fd, wanted + _STEP_BYTES)
        except OSError as error:
            return error.errno not in _NO_ROOM
        self._reserved = wanted + _STEP_BYTES
        return True


def reserve_room(fd: int, length: int) -> None:
    """Have the file system keep room for a file up to a length (fallocate(2)); raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def parse_line(line: bytes) -> AnyRecord | None:
    """One record, or None if the line is torn or of a kind this version does not know."""
    try:
        if has_surrogates(line):
            return from_plain(loads(line), AnyRecord)  # type: ignore[arg-type]
        return _DECODER.decode(line)
    except msgspec.MsgspecError:
        return None


@dataclass(slots=True)
class Reading:
    """A journal, read as its lines come."""

    records: list[AnyRecord] = field(default_factory=list)
    last: int = 0
    """The number of the last whole record, be it of a kind that only a newer version knows."""
    size: int = 0
    """Bytes up to its end."""
    damaged: int | None = None
    """The line that cannot be read though whole ones follow: no death of a writer leaves that."""
    is_torn: bool = False
    """Whether there is a line that cannot be read, be it the last one."""

    def feed(self, lines: bytes) -> None:
        """Take in whole lines; what comes after one that cannot be read is not believed."""
        for line in lines.split(b"\n")[:-1]:
            record = parse_line(line)
            number = _number_of(line) if record is None else record.seq
            if self.is_torn or number != self.last + 1:
                if self.is_torn and (number or 0) > self.last:
                    self.damaged = self.last + 1
                self.is_torn = True
                continue
            if record is not None:
                self.records.append(record)
            self.last, self.size = self.last + 1, self.size + len(line) + 1


def read_journal(path: Path) -> list[AnyRecord]:
    """Every whole record in order; a torn line ends the journal."""
    return read_closely(path).records


def read_closely(path: Path) -> Reading:
    """The same, and what there is to say of the file itself."""
    reading = Reading()
    with suppress(FileNotFoundError):
        reading.feed(path.read_bytes())
    return reading


def _number_of(line: bytes) -> int | None:
    """The number of a well-formed record, also of a kind that a newer version writes."""
    try:
        plain = loads(line)
    except msgspec.MsgspecError:
        return None
    number = plain.get("seq") if isinstance(plain, dict) else None
    return number if isinstance(number, int) else None


def _repair(path: Path) -> int:
    """Cut off a torn tail so that the next record starts on a line of its own.

    Returns the number of the last whole record. Raises `Refused` for a journal that is damaged
    before its end: what follows tells where things are, and is all that does.
    """
    found = read_closely(path)
    if found.damaged is not None:
        raise Refused(
            f"The run's journal is damaged: {path}, line {found.damaged}.",
            "The lines after it are whole, and what they tell must not get lost.",
            next_steps=(
                f'see what was moved where: grep -E \'"mov|"retir|"delet\' {path}',
                f"once line {found.damaged} is as it was, from a copy of the file: "
                f"pgrescue status {path.parent.name}",
            ),
        )
    if path.exists() and path.stat().st_size != found.size:
        with path.open("r+b") as file:
            file.truncate(found.size)
            os.fsync(file.fileno())
    return found.last


def plain_record(record: AnyRecord) -> dict[str, object]:
    """A record as `--json` prints it."""
    plain = to_plain(record)
    assert isinstance(plain, dict)
    return plain
