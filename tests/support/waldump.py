"""The truth about a WAL archive, in the words of the server's own pg_waldump."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pgrescue.demo.account import tool_environment
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.postgres.account import Account
from pgrescue.postgres.lsn import Lsn

EndingKind = Literal["commit", "abort", "commit_prepared", "abort_prepared"]

_RECORD = re.compile(
    r"rmgr: (\S+)\s+len \(rec/tot\):\s*(\d+)/\s*(\d+), tx:\s*(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), "
    r"prev ([0-9A-F]+/[0-9A-F]+), desc: (\S+) ?(.*)"
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC")
_SUBXIDS = re.compile(r"subxacts:((?: \d+)+)")
_PREPARED_XID = re.compile(r"(\d+):")
_KINDS: dict[str, EndingKind] = {
    "COMMIT": "commit",
    "ABORT": "abort",
    "COMMIT_PREPARED": "commit_prepared",
    "ABORT_PREPARED": "abort_prepared",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One WAL record as pg_waldump prints it."""

    timeline: int
    lsn: Lsn
    """Where it begins."""
    xid: int
    rmgr: str
    length: int
    operation: str
    """The first word of its description, such as `COMMIT` or `INSERT+INIT`."""
    text: str
    """The rest of its description."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The record that ends a transaction: the only ones that time and xid targets look at."""

    timeline: int
    lsn: Lsn
    kind: EndingKind
    xid: int
    """The top-level transaction's; of a prepared one its own, not the record's."""
    time: datetime
    subxids: tuple[int, ...] = ()

    @property
    def is_commit(self) -> bool:
        """Whether its work is kept."""
        return self.kind in ("commit", "commit_prepared")

    @property
    def is_prepared(self) -> bool:
        """Whether it had been prepared for two-phase commit."""
        return self.kind in ("commit_prepared", "abort_prepared")


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """A named restore point."""

    timeline: int
    lsn: Lsn
    """Where its record begins."""
    name: str


def read_records(
    account: Account,
    binaries: ServerBinaries,
    archive: Path,
    timeline: int,
    start: Lsn,
    end: Lsn,
) -> list[Record]:
    """Every record of one timeline from `start` up to the first that is not there.

    `end` is where the last segment ends: pg_waldump would wait five seconds for the next one.
    """
    argv = [binaries.program("pg_waldump"), "-p", str(archive), "-t", str(timeline)]
    argv += ["-s", str(start), "-e", str(end)]
    completed = subprocess.run(
        argv,
        cwd="/",
        env=tool_environment(account) | {"TZ": "UTC"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        # It fails where the WAL ends before its segment does.
        check=False,
        **account.spawn_arguments(),
    )
    records = list(parse_records(completed.stdout.splitlines(), timeline))
    if not records and completed.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}\n{completed.stderr}")
    return records


def parse_records(lines: Iterable[str], timeline: int) -> Iterator[Record]:
    """The records in pg_waldump's output."""
    for line in lines:
        found = _RECORD.match(line)
        if found is None:
            continue
        rmgr, _, total, xid, lsn, _, operation, text = found.groups()
        yield Record(timeline, Lsn.parse(lsn), int(xid), rmgr, int(total), operation, text)


def endings(records: Sequence[Record]) -> list[Ending]:
    """The commits and aborts among them, in WAL order."""
    found = []
    for record in records:
        kind = _KINDS.get(record.operation) if record.rmgr == "Transaction" else None
        if kind is not None:
            found.append(_ending(record, kind))
    return found


def restore_points(records: Sequence[Record]) -> list[RestorePoint]:
    """The named restore points among them, in WAL order."""
    return [
        RestorePoint(record.timeline, record.lsn, record.text)
        for record in records
        if record.rmgr == "XLOG" and record.operation == "RESTORE_POINT"
    ]


def _ending(record: Record, kind: EndingKind) -> Ending:
    time = _TIME.search(record.text)
    assert time is not None, f"no time in the end of a transaction: {record}"
    xid = record.xid
    if kind in ("commit_prepared", "abort_prepared"):
        prepared = _PREPARED_XID.match(record.text)
        assert prepared is not None, f"no transaction in {record}"
        xid = int(prepared[1])
    subxids = _SUBXIDS.search(record.text)
    return Ending(
        timeline=record.timeline,
        lsn=record.lsn,
        kind=kind,
        xid=xid,
        time=datetime.strptime(time[1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC),
        subxids=tuple(map(int, subxids[1].split())) if subxids else (),
    )
