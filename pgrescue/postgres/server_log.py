"""What the server's log says about a recovery (messages in English, `lc_messages = 'C'`).

Texts: `src/backend/access/transam/xlogrecovery.c` (12 to 14: `xlog.c`) and
`src/backend/postmaster/postmaster.c`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from pgrescue.postgres.lsn import Lsn

SQLSTATE = r"(?:(?=[A-Z]*\d)[0-9A-Z]{5}: )?"
"""What stands before a message's text with `log_error_verbosity = verbose`."""
_LEVEL = re.compile(rf"\b(LOG|WARNING|ERROR|FATAL|PANIC|HINT|DETAIL):\s+{SQLSTATE}(.*)")
_STOP = re.compile(
    r"recovery stopping (?P<side>before|after|at) (?:(?P<what>commit|abort) of transaction "
    r"(?P<xid>\d+), time (?P<time>.+)|restore point \"(?P<name>.*)\", time (?P<rtime>.+)"
    r"|WAL location \(LSN\) \"(?P<lsn>[0-9A-F]+/[0-9A-F]+)\"|reaching consistency)"
)
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")
_LAST_COMPLETED = re.compile(r"last completed transaction was at log time (.+)")
_NEW_TIMELINE = re.compile(r"selected new timeline ID: (\d+)")
CLIENT_FATALS = (
    "the database system is",
    "password authentication failed",
    "Peer authentication failed",
    "no pg_hba.conf entry",
    'role "',
    'database "',
    "terminating ",
    "canceling authentication",
    "could not connect to the primary server",
    "could not receive data from WAL stream",
    "could not send data to WAL stream",
    "could not send end-of-streaming message",
    "streaming replication receiver",
    "unsupported frontend protocol",
    "too many connections for ",
    "permission denied for database",
    "no PostgreSQL user name specified",
    "pg_hba.conf rejects ",
    *(
        f"{method} authentication failed"
        for method in ("Ident", "GSSAPI", "SSPI", "PAM", "BSD", "LDAP", "RADIUS", "certificate")
    ),
    "sorry, too many clients",
    "remaining connection slots",
    "connection to client lost",
)
"""FATAL lines that end a client's connection, not the server."""

_PORTION = 1 << 20
_OF_ONE_START = frozenset({"shut_down_at_target", "too_low", "failures", "_failing", "_too_low"})


@dataclass(slots=True)
class RecoveryLog:
    """What has been read of one server start."""

    stop: str | None = None
    """The line that says where recovery stopped."""
    stopped_after_xid: int | None = None
    redo_done: Lsn | None = None
    last_commit_time: datetime | None = None
    new_timeline: int | None = None
    complete: bool = False
    """Whether recovery has ended and the server opened: a later start only goes on from there."""
    shut_down_at_target: bool = False
    too_low: tuple[str, ...] = ()
    """Why replay waits: a setting is lower than the primary's became within the WAL (14+)."""
    failures: tuple[str, ...] = ()
    """FATAL and PANIC lines, with the detail and hint that follow them."""
    _failing: bool = False
    _too_low: bool = False

    def read_line(self, line: str) -> None:
        """Take in one line of the log."""
        match = _LEVEL.search(line)
        if match is None:
            return
        level, text = match[1], match[2]
        if level == "LOG" and text.startswith("starting PostgreSQL"):
            self._forget()  # what came before was another start
        if level not in ("DETAIL", "HINT"):
            self._too_low = "because of insufficient parameter settings" in text
            self._failing = level in ("FATAL", "PANIC") and not text.startswith(CLIENT_FATALS)
        if self._too_low and level in ("WARNING", "DETAIL"):
            self.too_low = (*self.too_low, text)
        if self._failing:
            self.failures = (*self.failures, f"{level}: {text}")
        elif level == "LOG" and not self.complete:
            self._read_log(text)

    def _forget(self) -> None:
        """Back to the beginning: another server has started; a recovery that has ended stays so."""
        for field in fields(self):
            if not self.complete or field.name in _OF_ONE_START:
                setattr(self, field.name, field.default)

    def _read_log(self, text: str) -> None:
        if stop := _STOP.search(text):
            self.stop = text
            if stop["side"] == "after" and stop["what"] == "commit":
                self.stopped_after_xid = int(stop["xid"])
        elif done := _REDO_DONE.search(text):
            self.redo_done = Lsn.parse(done[1])
        elif last := _LAST_COMPLETED.search(text):
            self.last_commit_time = parse_server_time(last[1])
        elif timeline := _NEW_TIMELINE.search(text):
            self.new_timeline = int(timeline[1])
        elif text.startswith("shutdown at recovery target"):
            self.shut_down_at_target = True
        elif text.startswith("archive recovery complete"):
            self.complete = True


@dataclass(frozen=True, slots=True)
class EarlierStarts:
    """What a part of a log tells of starts that are over."""

    ended: RecoveryLog | None = None
    """The recovery, if it has ended in one of them; without its failures."""
    new_timeline: int | None = None
    """The timeline that one of them chose last, even if it was killed before it was on it."""


def earlier_starts(path: Path, begin: int, end: int) -> EarlierStarts:
    """Read a part of a log; of one that cannot be read nothing is known."""
    said, chosen = RecoveryLog(), None
    try:
        with path.open("rb") as file:
            file.seek(begin)
            for line in file if begin < end else ():
                said.read_line(line.decode(errors="replace"))
                chosen = said.new_timeline or chosen
                begin += len(line)
                if begin >= end:
                    break
    except OSError:
        return EarlierStarts()
    said.read_line("LOG:  starting PostgreSQL")
    return EarlierStarts(said if said.complete else None, chosen)


class LogFollower:
    """Reads what a server adds to its log, from a position on."""

    def __init__(self, path: Path, position: int = 0, log: RecoveryLog | None = None) -> None:
        self.path = path
        self._position = position
        self._partial = b""
        self.log = log or RecoveryLog()

    def poll(self) -> RecoveryLog:
        """Read what is new; a log that cannot be read says nothing."""
        try:
            with self.path.open("rb") as file:
                if self._position > file.seek(0, os.SEEK_END):
                    self._position = 0  # the file was truncated or replaced
                file.seek(self._position)
                while portion := file.read(_PORTION):
                    self._position += len(portion)
                    self._take(portion)
        except OSError:
            return self.log
        return self.log

    def _take(self, portion: bytes) -> None:
        lines = (self._partial + portion).split(b"\n")
        self._partial = lines.pop()
        for line in lines:
            self.log.read_line(line.decode(errors="replace"))


def end_of_log(path: Path) -> int:
    """Where a log ends now: what a server started next will write comes after it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def parse_server_time(text: str) -> datetime | None:
    """A time stamp as the server prints it with a numeric offset, in UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None
