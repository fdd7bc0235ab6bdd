"""Real recoveries, fast and without pgrescue: what the server itself makes of a target.

A backup is unpacked once; every recovery gets a copy of it, a `restore_command`, the target and
nothing else, and is judged by the server's own log.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pgrescue.demo.account import run_tool, tool_environment
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import stop_servers_below
from pgrescue.postgres.account import Account
from pgrescue.postgres.conf_file import quote
from pgrescue.postgres.lsn import Lsn
from tests.support.memory import roomy_place

Outcome = Literal["stopped", "end_of_wal", "not_reached", "failed"]
StopKind = Literal[
    "before_commit",
    "after_commit",
    "before_abort",
    "after_abort",
    "before_lsn",
    "after_lsn",
    "at_name",
    "consistency",
]
Action = Literal["shutdown", "pause", "promote"]

TARGETS = (
    "recovery_target",
    "recovery_target_time",
    "recovery_target_xid",
    "recovery_target_lsn",
    "recovery_target_name",
)
"""The settings that name a target, of which one may be given."""

_FAST = {
    "listen_addresses": "",
    "port": "5432",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "8MB",
    "max_wal_size": "2GB",
    "autovacuum": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "archive_mode": "off",
    "ssl": "off",
}
_SINCE_15 = {"recovery_prefetch": "off"}

_TRANSACTION = re.compile(
    r"recovery stopping (before|after) (commit|abort) of transaction (\d+), time (.+)"
)
_NAME = re.compile(r'recovery stopping at restore point "(.*)", time (.+)')
_LSN = re.compile(r"recovery stopping (before|after) WAL location \(LSN\) \"([0-9A-F/]+)\"")
_CONSISTENCY = re.compile(r"recovery stopping after reaching consistency")
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")
_LAST_TIME = re.compile(r"last completed transaction was at log time (.+)")
_NEW_TIMELINE = re.compile(r"selected new timeline ID: (\d+)")
_CONSISTENT = re.compile(r"consistent recovery state reached at ([0-9A-F]+/[0-9A-F]+)")
_FATAL = re.compile(r"(?:FATAL|PANIC):\s+(.*)")
_OPEN = "database system is ready to accept connections"
_PAUSED = ("pausing at the end of recovery", "recovery has paused")
_NOT_REACHED = "recovery ended before configured recovery target was reached"
_SHUT_DOWN = "shutdown at recovery target"


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a recovery has ended, as the server tells it."""

    outcome: Outcome
    stopped_line: str | None
    """What it said when it stopped at its target."""
    kind: StopKind | None
    xid: int | None
    time: datetime | None
    """Of the commit, abort or restore point at which it stopped."""
    lsn: Lsn | None
    """Of the record at which it stopped, for an LSN target."""
    name: str | None
    redo_done_lsn: Lsn | None
    """Where the last replayed record begins; None while the server pauses, which says nothing."""
    last_time: datetime | None
    """Of the last commit or abort that was replayed."""
    consistent_lsn: Lsn | None
    new_timeline: int | None
    paused: bool
    promoted: bool
    fatal: str | None
    seconds: float
    log: str = field(repr=False)


class Bench:
    """Recovers backups again and again, in a directory of its own, in memory if there is room.

    Use it as a context manager: at its end its servers are stopped and the directory is gone.
    """

    def __init__(self, account: Account, binaries: ServerBinaries, archive: Path) -> None:
        """Make the directory."""
        self.account = account
        self.binaries = binaries
        self.archive = archive
        self.directory = Path(tempfile.mkdtemp(prefix="pgrescue-test-", dir=roomy_place()))
        os.chown(self.directory, account.uid, account.gid)
        self._unpacked: dict[Path, Path] = {}
        self._numbers = itertools.count(1)

    def __enter__(self) -> Bench:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what runs and delete everything."""
        self.destroy()

    def destroy(self) -> None:
        """Stop what runs and delete everything."""
        stop_servers_below(self.directory)
        shutil.rmtree(self.directory)

    def recover(
        self,
        backup: Path,
        target: Mapping[str, str],
        *,
        hot_standby: bool = False,
        timeout: float = 60.0,
    ) -> Reached:
        """Recover to a target, look at the log, throw the result away.

        `target` holds settings such as `recovery_target_time`; the action is `shutdown`.
        """
        settings = {"hot_standby": "on" if hot_standby else "off"} | dict(target)
        running = self._start(backup, "shutdown", settings)
        try:
            return running.wait(timeout)
        finally:
            running.remove()

    @contextmanager
    def server(
        self,
        backup: Path,
        target: Mapping[str, str],
        *,
        action: Action = "pause",
        timeout: float = 60.0,
    ) -> Iterator[Running]:
        """Recover to a target and leave the server there; its `reached` says where.

        Without a target, or with one that PostgreSQL 12 does not reach, it has opened instead.
        """
        running = self.start(backup, target, action=action, timeout=timeout)
        try:
            yield running
        finally:
            running.remove()

    def start(
        self,
        backup: Path,
        target: Mapping[str, str],
        *,
        action: Action = "promote",
        timeout: float = 60.0,
    ) -> Running:
        """As `server`, for one that is to stay until its `remove` is called."""
        running = self._start(backup, action, {"hot_standby": "on"} | dict(target))
        try:
            running.wait(timeout)
        except BaseException:
            running.remove()
            raise
        return running

    def _start(self, backup: Path, action: Action, settings: Mapping[str, str]) -> Running:
        started = time.monotonic()
        place = self.directory / f"r{next(self._numbers)}"
        self._as_account("cp", "-a", "--reflink=auto", str(self._unpack(backup)), str(place))
        data = place / "data"
        chosen = {
            **_FAST,
            **(_SINCE_15 if self.binaries.major >= 15 else {}),
            "unix_socket_directories": str(place),
            "restore_command": f"cp {shlex.quote(str(self.archive))}/%f %p",
            # First: an empty one after the target would count as a second target.
            **{name: "" for name in TARGETS if name not in settings},
            "recovery_target_action": action,
            **settings,
        }
        with (data / "postgresql.auto.conf").open("a") as configuration:
            configuration.writelines(f"{name} = {quote(chosen[name])}\n" for name in chosen)
        (data / "recovery.signal").touch()
        _relocate_tablespaces(place)
        return Running(self, place, started)

    def _unpack(self, backup: Path) -> Path:
        """A pristine copy of the backup: `data` and, beside it, `tblspc/OID`."""
        if backup not in self._unpacked:
            place = self.directory / f"b{len(self._unpacked) + 1}"
            self._as_account("mkdir", "-m", "700", str(place))
            if (backup / "PG_VERSION").exists():
                self._copy_plain(backup, place)
            else:
                self._unpack_tars(backup, place)
            self._unpacked[backup] = place
        return self._unpacked[backup]

    def _copy_plain(self, backup: Path, place: Path) -> None:
        self._as_account("cp", "-a", str(backup), str(place / "data"))
        self._as_account("mkdir", "-m", "700", str(place / "tblspc"))
        for link in (backup / "pg_tblspc").iterdir():
            self._as_account("cp", "-aL", str(link), str(place / "tblspc" / link.name))

    def _unpack_tars(self, backup: Path, place: Path) -> None:
        for archive in sorted(backup.glob("*.tar*")):
            stem = archive.name.split(".")[0]
            inside = {"base": "data", "pg_wal": "data/pg_wal"}.get(stem, f"tblspc/{stem}")
            self._as_account("mkdir", "-p", "-m", "700", str(place / inside))
            self._as_account("tar", "-xf", str(archive), "-C", str(place / inside))

    def _as_account(self, *argv: str) -> None:
        run_tool(self.account, argv, cwd=Path("/"))


class Running:
    """A server in recovery, or the one that has come out of it."""

    def __init__(self, bench: Bench, place: Path, started: float) -> None:
        """Start it; `wait` must follow."""
        self.place = place
        self.data = place / "data"
        self.log = place / "log"
        self.reached: Reached | None = None
        self._started = started
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                (bench.binaries.program("postgres"), "-D", str(self.data)),
                cwd=self.place,
                env=tool_environment(bench.account),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **bench.account.spawn_arguments(),
            )

    def conninfo(self, database: str = "postgres") -> str:
        """Connection parameters in libpq's form."""
        return f"host={self.place} port=5432 user=postgres dbname={database}"

    def wait(self, timeout: float) -> Reached:
        """Wait until it has ended, pauses at its target, or has opened."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self._process.poll() is not None
            said = self.log.read_text(errors="replace")
            if ended or _OPEN in said or any(line in said for line in _PAUSED):
                seconds = time.monotonic() - self._started
                self.reached = read_log(said, seconds)
                return self.reached
            if time.monotonic() > deadline:
                raise AssertionError(f"the recovery does not end:\n{said}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it at once, if it still runs."""
        stop_servers_below(self.place)
        self._process.wait()

    def remove(self) -> None:
        """Stop it and delete it."""
        self.stop()
        shutil.rmtree(self.place)


def read_log(log: str, seconds: float = 0.0) -> Reached:
    """What a server's log (without prefixes, in UTC) says of its recovery."""
    stopped = _stopped(log)
    fatal = _FATAL.search(log)
    return Reached(
        outcome=_outcome(log, stopped, fatal[1] if fatal else None),
        stopped_line=stopped.line if stopped else None,
        kind=stopped.kind if stopped else None,
        xid=stopped.xid if stopped else None,
        time=stopped.time if stopped else None,
        lsn=stopped.lsn if stopped else None,
        name=stopped.name if stopped else None,
        redo_done_lsn=_lsn(_REDO_DONE, log),
        last_time=_time(found[1]) if (found := _LAST_TIME.search(log)) else None,
        consistent_lsn=_lsn(_CONSISTENT, log),
        new_timeline=int(found[1]) if (found := _NEW_TIMELINE.search(log)) else None,
        paused=any(line in log for line in _PAUSED),
        promoted=_OPEN in log,
        fatal=fatal[1] if fatal else None,
        seconds=seconds,
        log=log,
    )


@dataclass(frozen=True, slots=True)
class _Stopped:
    line: str
    kind: StopKind
    xid: int | None = None
    time: datetime | None = None
    lsn: Lsn | None = None
    name: str | None = None


_TRANSACTION_KINDS: dict[tuple[str, str], StopKind] = {
    ("before", "commit"): "before_commit",
    ("after", "commit"): "after_commit",
    ("before", "abort"): "before_abort",
    ("after", "abort"): "after_abort",
}
_LSN_KINDS: dict[str, StopKind] = {"before": "before_lsn", "after": "after_lsn"}


def _stopped(log: str) -> _Stopped | None:
    if found := _TRANSACTION.search(log):
        kind = _TRANSACTION_KINDS[found[1], found[2]]
        return _Stopped(found[0], kind, int(found[3]), _time(found[4]))
    if found := _LSN.search(log):
        return _Stopped(found[0], _LSN_KINDS[found[1]], lsn=Lsn.parse(found[2]))
    if found := _NAME.search(log):
        return _Stopped(found[0], "at_name", time=_time(found[2]), name=found[1])
    if found := _CONSISTENCY.search(log):
        return _Stopped(found[0], "consistency")
    return None


def _outcome(log: str, stopped: _Stopped | None, fatal: str | None) -> Outcome:
    """A server that is told to shut down at its target says FATAL to itself on some versions."""
    if _NOT_REACHED in log:
        return "not_reached"
    if fatal is not None and _SHUT_DOWN not in log and not any(line in log for line in _PAUSED):
        return "failed"
    if stopped is not None:
        return "stopped"
    return "end_of_wal" if _OPEN in log else "failed"


def _lsn(pattern: re.Pattern[str], log: str) -> Lsn | None:
    found = pattern.search(log)
    return Lsn.parse(found[1]) if found else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.strip())


def _relocate_tablespaces(place: Path) -> None:
    """Have the data directory's tablespaces be the copies beside it."""
    (place / "data" / "tablespace_map").unlink(missing_ok=True)
    for tablespace in place.glob("tblspc/*"):
        link = place / "data" / "pg_tblspc" / tablespace.name
        link.unlink(missing_ok=True)
        link.symlink_to(tablespace)
