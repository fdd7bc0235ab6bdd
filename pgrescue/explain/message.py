"""What is read of a log: messages with their level, and explanations made of them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Literal

Weight = Literal["failure", "consequence", "note"]
"""A cause; what follows from a cause told beside it; what looks bad and is not."""


LSN = r"[0-9A-F]{1,8}/[0-9A-F]{1,8}?(?=\d{4}-\d\d-\d\d|[^0-9A-F]|$)"
"""Pattern of a position in the WAL; of two lines run together the next one's time is none of it."""
STARTING = (
    "starting PostgreSQL",
    "starte PostgreSQL",
    "démarrage de PostgreSQL",
    "iniciando PostgreSQL",
)
"""How a server says first that it starts, also in languages that call a LOG by that name."""
REINITIALIZING = "all server processes terminated; reinitializing"
"""What a server says that has lost a process: it recovers, and goes on."""


_OPENED = (
    "selected new timeline ID",
    "archive recovery complete",
    "database system is ready to accept connections",
)

_number = attrgetter("number")
_DOWN = (
    "terminating any other active server processes",
    "received smart shutdown request",
    "received fast shutdown request",
    "received immediate shutdown request",
    "database system is shut down",
)
GAVE_UP = (
    "shutting down due to startup process failure",
    "aborting startup due to startup process failure",
)
"""What a server says whose recovery has failed."""


_ANOTHER_SERVER = re.compile(r"Is another \w+ \((PID [0-9]{1,10})\)")


def number_in(text: str) -> int | None:
    """A number as servers write it; None for any other text, as a log may hold anything."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


@dataclass(slots=True)
class Message:
    """One message of a server or a tool, with what belongs to it.

    `level` is the server's (`LOG`, `FATAL`, ...), `TOOL` for a line that a client program begins
    with its own name, and `OUTPUT` for anything else, such as what a restore_command prints.
    """

    number: int
    """Of its line in the log, from 1."""
    level: str
    text: str
    pid: int | None = None
    detail: str = ""
    _last: str = field(default="text", repr=False)

    def add(self, level: str, text: str) -> None:
        """Take in a DETAIL line; other companions explain nothing, and a HINT is never passed on.

        PostgreSQL's hints include "try removing backup_label", which ruins a restored backup. Only
        which process may be another server is known from nothing else.
        """
        self._last = "detail" if level == "DETAIL" else ""
        if self._last:
            self.detail = text
        elif level == "HINT" and (other := _ANOTHER_SERVER.match(text)):
            self.detail = other[1]

    def go_on(self, text: str) -> None:
        """Take in a line that continues the one before."""
        if self._last:
            setattr(self, self._last, f"{getattr(self, self._last)}\n{text}")

    @property
    def is_fatal(self) -> bool:
        """Whether it ended a process."""
        return self.level in ("FATAL", "PANIC")

    def quoted(self) -> str:
        """As it stands in the log, without the prefix."""
        level = "" if self.level in ("OUTPUT", "TOOL") else f"{self.level}: "
        detail = f" ({self.detail})" if self.detail else ""
        return f"line {self.number}: {level}{self.text}{detail}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A failure in words: the keys of `explain --json`."""

    code: str
    title: str
    cause: str
    evidence: str
    unchanged: str
    next: tuple[str, ...]
    weight: Weight = "failure"
    line: int | None = None
    """Where the log says so first."""
    start: int | None = None
    """Which of the server starts in the log it belongs to, from 1; None outside of any."""


@dataclass(frozen=True, slots=True)
class ServerStart:
    """The messages of one start of a server, or of one recovery of it, up to the next one."""

    number: int
    messages: tuple[Message, ...]
    is_last: bool = True

    def first(self, *beginnings: str) -> Message | None:
        """The first message whose text begins with one of these."""
        return next(self.all(*beginnings), None)

    def all(self, *beginnings: str) -> Iterator[Message]:
        """Every message whose text begins with one of these."""
        return (message for message in self.messages if message.text.startswith(beginnings))

    def before(self, later: Message) -> ServerStart:
        """This start up to a message of it."""
        end = bisect_left(self.messages, later.number, key=_number)
        return replace(self, messages=self.messages[:end])

    def after(self, earlier: Message) -> ServerStart:
        """What came after a message of this start."""
        begin = bisect_right(self.messages, earlier.number, key=_number)
        return replace(self, messages=self.messages[begin:])

    def runs_after(self, message: Message) -> bool:
        """Whether it answers, and did not go down with a message or after it."""
        ready = self.ready
        if ready is None or (message.is_fatal and message.pid in (None, ready.pid)):
            return False
        return message.level != "PANIC" and self.after(message).first(*_DOWN) is None

    @property
    def opened(self) -> bool:
        """Whether it began to write WAL of its own."""
        return self.first(*_OPENED) is not None

    @property
    def ready(self) -> Message | None:
        """Where it began to answer; None if it never did, or then gave up its recovery."""
        if self.first(*GAVE_UP):
            return None
        return self.first("database system is ready to accept")

    @property
    def failed(self) -> bool:
        """Whether it never came up: a server that has run is not one, whatever it says later."""
        if self.first(*GAVE_UP):
            return True
        if self.first("database system is ready to accept"):
            return False
        if self.first(*STARTING, REINITIALIZING):
            return True
        # Refused before it said that it starts: whoever spoke ended so. Of a running server, whose
        # log was cut, others have spoken too.
        last = {each.pid: each for each in self.messages if each.level not in ("TOOL", "OUTPUT")}
        return all(each.is_fatal for each in last.values())
