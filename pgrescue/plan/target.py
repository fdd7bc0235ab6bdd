"""What a restore aims at: one of PostgreSQL's kinds of recovery target, checked and canonical.

Semantics: manual chapter "Recovery Target" and `recoveryStopsBefore`/`recoveryStopsAfter` in
`src/backend/access/transam/xlogrecovery.c`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pgrescue.errors import UsageError
from pgrescue.plan.moment import parse_moment
from pgrescue.postgres.lsn import Lsn

TargetKind = Literal["latest", "immediate", "time", "lsn", "xid", "name"]
Action = Literal["pause", "promote", "shutdown"]
ACTIONS: tuple[Action, ...] = ("pause", "promote", "shutdown")
MAX_NAME_BYTES = 63


@dataclass(frozen=True, slots=True)
class Target:
    """A recovery target; only the field of its kind is set."""

    kind: TargetKind
    inclusive: bool
    action: Action
    timeline: int | Literal["latest", "current"] | None = None
    """As asked for; None: the plan chooses the numeric one that fits the backup."""
    time: datetime | None = None
    lsn: Lsn | None = None
    xid: int | None = None
    name: str | None = None

    @property
    def end(self) -> Action:
        """What happens when recovery ends: without a place to stop, the server always opens."""
        return "promote" if self.kind == "latest" else self.action

    def __str__(self) -> str:
        """The target in words."""
        side = "" if self.inclusive else "just before "
        match self.kind:
            case "latest":
                return "the latest recoverable state"
            case "immediate":
                return "the end of the backup (earliest consistent state)"
            case "time":
                return f"{side}{self.time:%Y-%m-%d %H:%M:%S.%f+00:00}"
            case "lsn":
                return f"{side}LSN {self.lsn}"
            case "xid":
                return f"{side}transaction {self.xid}"
            case "name":
                return f"restore point '{self.name}'"


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """The target options of the command line as they were typed."""

    to: str | None = None
    to_lsn: str | None = None
    to_xid: str | None = None
    before_xid: str | None = None
    to_name: str | None = None
    exclusive: bool = False
    action: str | None = None
    timeline: str | None = None


def parse_target(options: TargetOptions, zone: str | None = None) -> Target:
    """The one target that was asked for, `latest` if none; raises `UsageError`.

    `zone` is the operator's time zone, for times without an offset (None: the system's).
    """
    given = {
        "--to": options.to,
        "--to-lsn": options.to_lsn,
        "--to-xid": options.to_xid,
        "--before-xid": options.before_xid,
        "--to-name": options.to_name,
    }
    chosen = [option for option, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise UsageError(
            "More than one recovery target was given.",
            f"PostgreSQL stops at one target; these were given: {', '.join(chosen)}.",
        )
    inclusive = not options.exclusive
    action = _action(options.action)
    timeline = _timeline(options.timeline)
    stop = action or "pause"
    if options.to_lsn is not None:
        return Target("lsn", inclusive, stop, timeline, lsn=Lsn.parse(options.to_lsn))
    if options.to_xid is not None:
        return Target("xid", inclusive, stop, timeline, xid=_xid(options.to_xid))
    if options.before_xid is not None:
        return Target("xid", False, stop, timeline, xid=_xid(options.before_xid))
    if options.to_name is not None:
        return Target("name", True, stop, timeline, name=_name(options.to_name))
    if options.to is None or options.to == "latest":
        return Target("latest", True, action or "promote", timeline)
    if options.to == "immediate":
        return Target("immediate", True, stop, timeline)
    return Target("time", inclusive, stop, timeline, time=parse_moment(options.to, zone))


def _action(text: str | None) -> Action | None:
    for action in ACTIONS:
        if text == action:
            return action
    if text is None:
        return None
    raise UsageError(f"'{text}' is no action at the target.", f"There are: {', '.join(ACTIONS)}.")


def _timeline(text: str | None) -> int | Literal["latest", "current"] | None:
    if text is None:
        return None
    if text == "latest":
        return "latest"
    if text == "current":
        return "current"
    if re.fullmatch(r"[1-9]\d{0,9}", text):
        return int(text)
    raise UsageError(
        f"'{text}' is no timeline.",
        "A timeline is a decimal number, 'latest' or 'current'. File names show it in "
        "hexadecimal: 0000000A is timeline 10.",
    )


def _xid(text: str) -> int:
    """A transaction id; one with an epoch (`txid_current()`, `xid8`) is kept whole."""
    if not re.fullmatch(r"\d{1,20}", text):
        hint = " It looks like an LSN: use --to-lsn." if "/" in text else ""
        raise UsageError(
            f"'{text}' is not a transaction id.",
            f"A transaction id is a whole number, such as 63886.{hint}",
        )
    xid = int(text)
    if xid & 0xFFFFFFFF < 3 or xid >= 1 << 64:
        raise UsageError(
            f"{text} is not the id of a transaction.", "Ids 0 to 2 are never used for commits."
        )
    return xid


def _name(text: str) -> str:
    if (
        not text
        or len(text.encode(errors="surrogateescape")) > MAX_NAME_BYTES
        or any(ord(c) < 32 for c in text)
    ):
        raise UsageError(
            f"'{text}' cannot be the name of a restore point.",
            f"Names have 1 to {MAX_NAME_BYTES} bytes and no control characters.",
        )
    return text


def format_for_server(moment: datetime) -> str:
    """A time as `recovery_target_time` takes it on every version: never with a `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
