"""Which course a recovery took: whether it ended at damage, or where it was due to end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pgrescue.explain.message import GAVE_UP, LSN, Message, ServerStart
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.server_log import CLIENT_FATALS

_ASKED = (
    "starting archive recovery",
    "starting point-in-time recovery",
    "entering standby mode",
)
_CRASHED = ("database system was not properly shut down", "database system was interrupted")
_STREAMING = "started streaming WAL from primary"
_DONE = "redo done at"
_WANTED_END = (
    "recovery stopping",
    "received promote request",
    "promote trigger file found",
    "trigger file found",
)
_WENT_ON = ("consistent recovery state reached", "recovery stopping")
_ENDED_TOO_EARLY = ("recovery ended before configured recovery target", "WAL ends before ")
_NO_PAUSE = (
    _DONE,
    "selected new timeline ID",
    "archive recovery complete",
    "database system is ready to accept connections",
    "received fast shutdown request",
    "received smart shutdown request",
    "received immediate shutdown request",
    "shutting down",
    "database system is shut down",
)
_TELLING = (
    *_ASKED,
    *_CRASHED,
    _STREAMING,
    *_WENT_ON,
    *_ENDED_TOO_EARLY,
    *_NO_PAUSE,
    *_WANTED_END,
    *GAVE_UP,
    "restored log",
    "database system is ready to accept",
    "pausing at the end of recovery",
    "recovery has paused",
    "server started",
)
_RECORD = re.compile(rf".* at ({LSN})")
_RESTORED = re.compile(r'restored log file "[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})" from archive')
_SIZES = tuple(1 << power for power in range(20, 31))
"""Of segments, of which a log does not say which one it is."""


def course_of(start: ServerStart) -> ServerStart:
    """The messages that tell the course of a recovery: few, of a log that may be long."""
    return replace(
        start,
        messages=tuple(
            each
            for each in start.messages
            if each.text.startswith(_TELLING) or _RECORD.match(each.text) or _ended_a_process(each)
        ),
    )


def ends_of_sessions(start: ServerStart) -> frozenset[int]:
    """Lines with which only a session or a worker of a server that answers has ended."""
    opened = start.ready
    if opened is None:
        return frozenset()
    servers = {None, *(each.pid for each in start.messages if not each.is_fatal)}
    return frozenset(
        each.number
        for each in start.after(opened).messages
        if each.level == "FATAL" and each.pid not in servers
    )


def ended_at_damage(start: ServerStart, same: Sequence[Message]) -> bool:
    """Whether a broken record is damage: not the due end of pg_wal, and nothing was replayed after.

    After a crash the last record may be torn; a standby's own WAL may be, too, and is then streamed
    again. What came from the archive was whole when it was archived.
    """
    last = same[-1]
    if last.level in ("TOOL", "OUTPUT") or last.is_fatal:
        return True
    found = _RECORD.match(last.text)
    if found is None:
        return True
    lsn = Lsn.parse(found[1])
    before, after = start.before(last), start.after(last)
    if _went_on(lsn, last, before, after):
        return False
    if after.first(*_ENDED_TOO_EARLY):
        return True
    if before.first(*_ASKED):
        return _was_restored(lsn, before) or _was_streamed(last, before)
    return before.first(*_CRASHED) is None  # of a log that was cut it is not known how it began


def cut_recovery_short(start: ServerStart, same: Sequence[Message]) -> bool:
    """Whether recovery ended at what could not be fetched, for good or by its own choice.

    Not where the archive gave more later, or the primary did; not where it was due to end, as at a
    target that was met or when somebody promoted it.
    """
    done = start.first(_DONE)
    # A recovery that has ended asks for histories, and for its last segment once more.
    asked = [each for each in same if done is None or each.number < done.number]
    if not asked or not (done or start.first(*_ASKED, "restored log")):
        return False
    before, after = start.before(asked[-1]), start.after(asked[-1])
    rest = after.before(done) if done else after
    if rest.first(*_WANTED_END, _STREAMING) or _last_restored(rest) > _last_restored(before):
        return False
    if done is not None or rest.first(*GAVE_UP):
        return True
    sessions = ends_of_sessions(start)
    return any(each.is_fatal and each.number not in sessions for each in rest.messages)


def streams_no_more(start: ServerStart, same: Sequence[Message]) -> bool:
    """Whether no WAL was streamed after the last time that this was said."""
    return start.after(same[-1]).first(_STREAMING) is None


def gets_no_more_wal(start: ServerStart, same: Sequence[Message]) -> bool:
    """Whether nothing came after it, neither from the primary nor further from the archive."""
    before, after = start.before(same[-1]), start.after(same[-1])
    return streams_no_more(start, same) and _last_restored(after) <= _last_restored(before)


def kept_it_down(start: ServerStart, same: Sequence[Message]) -> bool:
    """Whether the server never came up: of one that did, a session or a reload was refused."""
    return start.first("database system is ready to accept") is None


def not_started_anyway(start: ServerStart, same: Sequence[Message]) -> bool:
    """Whether pg_ctl did not start the server after all."""
    return start.after(same[-1]).first("server started") is None


def while_paused(start: ServerStart, same: Sequence[Message]) -> bool:
    """Whether recovery had paused by then."""
    paused = start.before(same[-1]).first("pausing at the end of recovery", "recovery has paused")
    return paused is not None


def still_waits(start: ServerStart, same: Sequence[Message]) -> bool:
    """Whether a recovery that has paused is where it was."""
    return start.is_last and start.after(same[-1]).first(*_NO_PAUSE) is None


def _ended_a_process(message: Message) -> bool:
    return message.is_fatal and not message.text.startswith(CLIENT_FATALS)


def _was_restored(lsn: Lsn, before: ServerStart) -> bool:
    return any(
        lsn // size == int(named[1], 16) * (0x1_0000_0000 // size) + int(named[2], 16)
        for each in before.messages
        if (named := _RESTORED.match(each.text))
        for size in _SIZES
        if int(named[2], 16) < 0x1_0000_0000 // size
    )


def _last_restored(part: ServerStart) -> str:
    names = [named[1] + named[2] for each in part.messages if (named := _RESTORED.match(each.text))]
    return max(names, default="")


def _went_on(lsn: Lsn, message: Message, before: ServerStart, after: ServerStart) -> bool:
    done = after.first(_DONE)
    replayed = _RECORD.match(done.text) if done else None
    if replayed and Lsn.parse(replayed[1]) >= lsn:
        return True
    rest = after.before(done) if done else after
    if rest.first(*_WENT_ON):
        return True
    if rest.first(_STREAMING) and not _was_streamed(message, before):
        return True
    return _last_restored(rest) > _last_restored(before)


def _was_streamed(message: Message, before: ServerStart) -> bool:
    """Whether it was streamed since it was first found broken: the primary's is no better then."""
    first = next((each for each in before.messages if each.text == message.text), None)
    return first is not None and before.after(first).first(_STREAMING) is not None
