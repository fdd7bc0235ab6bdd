"""Which version of a row counts, told from its header and `pg_xact` alone.

The rules are those of `HeapTupleSatisfiesMVCC` in `src/backend/access/heap/heapam_visibility.c`,
for a snapshot that sees every committed transaction; the flags are in `htup_details.h`. The files
of a base backup are copied one after the other, so several versions of one row may look alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

from pgrescue.postgres.commit_log import CommitLog
from pgrescue.postgres.heap_page import HeapTuple

_XMAX_EXCLUSIVE_LOCK = 0x0040
_XMAX_LOCK_ONLY = 0x0080
_XMIN_COMMITTED = 0x0100
_XMIN_INVALID = 0x0200
_XMIN_FROZEN = _XMIN_COMMITTED | _XMIN_INVALID
_XMAX_COMMITTED = 0x0400
_XMAX_INVALID = 0x0800
_XMAX_IS_MULTI = 0x1000
_LOCK_MASK = 0x0050
_FIRST_NORMAL_XID = 3


class HasOid(Protocol):
    """A row of a system catalog."""

    @property
    def oid(self) -> int:
        """What stays the same in all its versions."""


Row = TypeVar("Row", bound=HasOid)


class State(IntEnum):
    """What a version of a row is, the more telling the higher."""

    NEVER = 0
    """Its transaction was rolled back."""
    DELETED = 1
    UNCERTAIN = 2
    """It hangs on a transaction that had not ended, or that nothing is known of."""
    LIVE = 3


@dataclass(frozen=True, slots=True)
class Version(Generic[Row]):
    """The version of a row that counts."""

    row: Row
    state: State


def state_of(found: HeapTuple, log: CommitLog) -> State:
    """Whether a version of a row is alive."""
    inserted = _insertion(found, log)
    return _deletion(found, log) if inserted == State.LIVE else inserted


def newest_versions(
    tuples: Iterable[HeapTuple],
    log: CommitLog,
    parse: Callable[[bytes], Row | None],
) -> dict[int, Version[Row]]:
    """The best version of each row, by its OID: a live one before others, a newer before an older.

    What `parse` cannot read is left out.
    """
    best: dict[int, tuple[Version[Row], int]] = {}
    for found in tuples:
        row = parse(found.data)
        if row is None:
            continue
        version = Version(row, state_of(found, log))
        xmin = 0 if found.infomask & _XMIN_FROZEN == _XMIN_FROZEN else found.xmin
        known = best.get(row.oid)
        if known is None or _counts_more(version.state, xmin, known[0].state, known[1]):
            best[row.oid] = (version, xmin)
    return {oid: version for oid, (version, _) in best.items()}


def _counts_more(state: State, xmin: int, known_state: State, known_xmin: int) -> bool:
    if state != known_state:
        return state > known_state
    if min(xmin, known_xmin) < _FIRST_NORMAL_XID:
        return xmin > known_xmin
    return 0 < (xmin - known_xmin) & 0xFFFFFFFF < 1 << 31  # xids go round (TransactionIdFollows)


def _insertion(found: HeapTuple, log: CommitLog) -> State:
    if found.infomask & _XMIN_COMMITTED:
        return State.LIVE
    if found.infomask & _XMIN_INVALID:
        return State.NEVER
    match log.status(found.xmin):
        case "committed":
            return State.LIVE
        case "aborted":
            return State.NEVER
        case _:
            return State.UNCERTAIN


def _deletion(found: HeapTuple, log: CommitLog) -> State:
    mask = found.infomask
    if found.xmax == 0 or mask & _XMAX_INVALID or _is_only_locked(mask):
        return State.LIVE
    if mask & _XMAX_IS_MULTI:  # whether one of its members is a committed updater is not looked up
        return State.UNCERTAIN
    if mask & _XMAX_COMMITTED:
        return State.DELETED
    match log.status(found.xmax):
        case "committed":
            return State.DELETED
        case "unknown":
            return State.UNCERTAIN
        case _:
            return State.LIVE


def _is_only_locked(mask: int) -> bool:
    """`HEAP_XMAX_IS_LOCKED_ONLY`."""
    old_style = mask & (_XMAX_IS_MULTI | _LOCK_MASK) == _XMAX_EXCLUSIVE_LOCK
    return bool(mask & _XMAX_LOCK_ONLY) or old_style
