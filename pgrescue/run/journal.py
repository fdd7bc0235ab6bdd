"""The append-only journal: one JSON record a line, on disk before what it announces is done."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pgrescue.codec import dumps, from_plain, has_surrogates, loads, to_plain
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.records import AnyRecord, Progress

NAME = "journal.jsonl"


def _decode_hook(wanted: type, value: object) -> object:
    if wanted is Lsn and isinstance(value, str):
        return Lsn.parse(value)
    raise NotImplementedError


_DECODER: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord, dec_hook=_decode_hook)


class Journal:
    """Appends records; the one writer is whoever holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = _repair(path) + 1
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def append(self, record: AnyRecord) -> None:
        """Write one record; it is synced to disk unless it only tells progress."""
        stamped = msgspec.structs.replace(record, seq=self._next, at=datetime.now(UTC))
        line = dumps(stamped).encode() + b"\n"
        if os.write(self._fd, line) != len(line):
            # Half a record is none: what it announces must not be done.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        if not isinstance(record, Progress):
            os.fdatasync(self._fd)
        self._next += 1

    def close(self) -> None:
        """Close the file; a closed journal cannot be appended to."""
        os.close(self._fd)


def parse_line(line: bytes) -> AnyRecord | None:
    """One record, or None if the line is torn or of a kind this version does not know."""
    try:
        if has_surrogates(line):
            return from_plain(loads(line), AnyRecord)  # type: ignore[arg-type]
        return _DECODER.decode(line)
    except msgspec.MsgspecError:
        return None


def read_journal(path: Path) -> list[AnyRecord]:
    """Every whole record in order; a torn line ends the journal."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return list(_whole_records(data))


def _whole_records(data: bytes) -> Iterator[AnyRecord]:
    expected = 1
    for line in data.split(b"\n")[:-1]:
        record = parse_line(line)
        if record is None:
            if not _is_later_kind(line, expected):
                return
        else:
            if record.seq != expected:
                return
            yield record
        expected += 1


def _is_later_kind(line: bytes, expected: int) -> bool:
    """A well-formed record of a kind that a newer version writes: skipped, not torn."""
    try:
        plain = loads(line)
    except msgspec.MsgspecError:
        return False
    return isinstance(plain, dict) and plain.get("seq") == expected


def _repair(path: Path) -> int:
    """Cut off a torn tail so that the next record starts on a line of its own.

    Returns the number of the last whole record.
    """
    records = read_journal(path)
    if not path.exists():
        return 0
    last = records[-1].seq if records else 0
    data = path.read_bytes()
    lines = data.split(b"\n")
    whole = b"".join(line + b"\n" for line in lines[:last])
    if whole != data:
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
    return last


def plain_record(record: AnyRecord) -> dict[str, object]:
    """A record as `--json` prints it."""
    plain = to_plain(record)
    assert isinstance(plain, dict)
    return plain
