"""What would surprise somebody who recovers to this point, said beforehand, with the way around."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from pgrescue.findings import Finding
from pgrescue.history.namebook import NameBook
from pgrescue.history.stop_point import kept_at
from pgrescue.plan.target import Target, format_for_server
from pgrescue.postgres.control_file import StandbyLimits
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.events import (
    DatabaseDropped,
    DatabaseInvalidated,
    Event,
    NameGiven,
    NotableEnd,
    ParameterChange,
    Prepared,
    RelationLocked,
    RestorePoint,
    RunningTransactions,
    TablespaceCreated,
    TablespaceDropped,
    destruction_begins,
)
from pgrescue.wal.sift import transaction_ends
from pgrescue.wal.stretch import Stretch
from pgrescue.wal.transactions import microseconds_of, moment_of

NOTICEABLE_STEP = 1_000_000
"""Microseconds: commits that overtake each other by less are no step of the clock."""
_CIRCLE = 1 << 32
_NAMED = 4


E = TypeVar("E", bound=Event)


class Replayed:
    """What recovery will have gone through when it stops."""

    def __init__(self, stretch: Stretch, boundary: Lsn, consistent: Lsn | None) -> None:
        """Records that begin before `boundary` are replayed; `consistent` is the backup's end."""
        self.stretch, self.boundary, self.consistent = stretch, boundary, consistent
        self._events = [event for event in stretch.events() if event.position < boundary]
        self._ended = {
            xid
            for notable in self.of(NotableEnd)
            for xid in (notable.end.xid, *notable.end.subxids)
        }

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self._events if isinstance(event, kind)]

    def destroyed(self) -> Iterator[tuple[DatabaseDropped | TablespaceDropped, Lsn]]:
        """Drops of databases and tablespaces, each with where it is under way from."""
        marks = self.of(DatabaseInvalidated)
        for event in self._events:
            if isinstance(event, DatabaseDropped):
                yield event, destruction_begins(event, marks)
            elif isinstance(event, TablespaceDropped):
                yield event, event.position

    def unfinished(self, xids: Iterable[int], at: Lsn | None = None) -> set[int]:
        """Which of these transactions have not ended when recovery stops, or at a position."""
        limit = self.boundary if at is None else at
        wanted = set(xids) - (self._ended if at is None else set())
        for index, piece in enumerate(self.stretch.pieces):
            if not wanted or piece.start >= limit:
                break
            commits, aborts = piece.found.commits, piece.found.aborts
            bounds = [(ends.min_xid, ends.max_xid) for ends in (commits, aborts) if ends.count]
            if not any(low <= xid <= high for xid in wanted for low, high in bounds):
                continue
            wanted -= self._ended_in(index, limit)
        # A subtransaction ends with its transaction, whose record alone names it.
        for index, piece in enumerate(self.stretch.pieces):
            if not wanted or piece.start >= limit:
                break
            if piece.found.commits.max_xid or piece.found.aborts.max_xid:
                wanted -= self._parts_ended_in(index, limit)
        return wanted

    def _ended_in(self, index: int, limit: Lsn) -> set[int]:
        rows = self.stretch.ends_of(index)
        ended: list[int] = rows.xids[rows.positions < np.uint64(limit)].tolist()
        return set(ended)

    def _parts_ended_in(self, index: int, limit: Lsn) -> set[int]:
        major = self.stretch.major
        return {
            xid
            for batch in self.stretch.records_of(index)
            for position, end in transaction_ends(batch, major)[1]
            if position < limit
            for xid in end.subxids
        }


def limits_in(replayed: Replayed) -> StandbyLimits | None:
    """The highest settings that a hot standby needs on the way; None if none were changed."""
    changes = [event.limits for event in replayed.of(ParameterChange)]
    if not changes:
        return None
    return StandbyLimits(
        max_connections=max(limits.max_connections for limits in changes),
        max_worker_processes=max(limits.max_worker_processes for limits in changes),
        max_wal_senders=max(limits.max_wal_senders for limits in changes),
        max_prepared_transactions=max(limits.max_prepared_transactions for limits in changes),
        max_locks_per_transaction=max(limits.max_locks_per_transaction for limits in changes),
    )


def traps(
    replayed: Replayed,
    target: Target,
    names: Callable[[], NameBook],
    *,
    forks: Sequence[Lsn],
    clone: bool,
) -> tuple[Finding, ...]:
    """Everything to warn of; `names` is asked only if something has to be named.

    `forks` are the positions at which recovery goes over to another timeline.
    """
    return (
        *_locked_tables(replayed, target, names),
        *_half_dropped(replayed, names),
        *_pause_turns_into_promotion(replayed, target),
        *_prepared_at_fork(replayed, forks),
        *_clock(replayed, target),
        *_duplicate_names(replayed, target),
        *_created_places(replayed, clone=clone),
        *_minimal_wal(replayed),
    )


def _locked_tables(
    replayed: Replayed, target: Target, names: Callable[[], NameBook]
) -> Iterator[Finding]:
    """Locks of transactions in progress are replayed, and held while recovery pauses."""
    if target.end != "pause":
        return
    open_ones = replayed.unfinished({lock.xid for lock in replayed.of(RelationLocked)})
    own = [given for given in replayed.of(NameGiven) if given.xid in open_ones]
    made = {(given.database, given.oid) for given in own}
    held = [
        lock
        for lock in replayed.of(RelationLocked)
        if lock.xid in open_ones and (lock.database, lock.relation) not in made
    ]
    if not held:
        return
    first = min(lock.position for lock in held)
    shown = _relations(sorted({(lock.database, lock.relation) for lock in held}), names())
    xids = ", ".join(str(xid) for xid in sorted(open_ones))
    fix = "--action promote frees them at once"
    if replayed.consistent is None or first >= replayed.consistent:
        lost = kept_at(replayed.stretch, replayed.boundary).kept
        lost -= kept_at(replayed.stretch, first).kept
        price = f"loses {lost} more transactions" if lost else "loses nothing more"
        fix += f"; or stop before the lock: --to-lsn {first} --exclusive ({price})"
    yield Finding(
        "trap.locked",
        "warning",
        f"While paused, nobody can read {shown}: locked by transaction {xids}, which has not ended "
        "at the target.",
        fix,
    )


def _half_dropped(replayed: Replayed, names: Callable[[], NameBook]) -> Iterator[Finding]:
    """DROP DATABASE and DROP TABLESPACE remove files before they commit."""
    for event, begin in replayed.destroyed():
        if event.xid and not replayed.unfinished({event.xid}):
            continue
        book = names()
        if isinstance(event, DatabaseDropped):
            what, name = "database", book.database(event.oid)
        else:
            what, name = "tablespace", book.tablespace(event.oid)
        early = replayed.consistent is not None and begin < replayed.consistent
        yield Finding(
            f"trap.dropped_{what}",
            "warning",
            f"The {what} {name or event.oid} is lost at this target though its DROP is not "
            f"committed there: its files are removed at {event.position}, before the commit.",
            "take an earlier backup" if early else f"stop earlier: --to-lsn {begin} --exclusive",
        )


def _relations(relations: list[tuple[int, int]], book: NameBook) -> str:
    """Tables by name; what goes with them (indexes, TOAST) is left out where tables are known."""
    known = [(key, book.relation(*key)) for key in relations]
    tables = [item for item in known if item[1] and item[1].kind in ("r", "p", "m")]
    shown = []
    for (database, oid), relation in (tables or known)[:_NAMED]:
        where = book.database(database) or f"database {database}"
        if relation is None:
            shown.append(f"the relation with OID {oid} in {where}")
        else:
            shown.append(f"{relation.schema}.{relation.name} in {where}")
    more = len(tables or known) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _pause_turns_into_promotion(replayed: Replayed, target: Target) -> Iterator[Finding]:
    """As `ProcArrayApplyRecoveryInfo` in `src/backend/storage/ipc/procarray.c` judges snapshots."""
    if target.end != "pause":
        return
    pending: int | None = None
    for snapshot in replayed.of(RunningTransactions):
        if not snapshot.overflowed:
            return
        if pending is not None and _follows(snapshot.oldest_running, pending):
            return
        if pending is None:
            pending = (snapshot.next_xid - 1) % _CIRCLE
    why = (
        "a transaction with very many subtransactions was going on"
        if replayed.of(RunningTransactions)
        else "the WAL has no list of running transactions yet"
    )
    yield Finding(
        "trap.no_pause",
        "warning",
        f"The server will not pause at this target but open for writing at once: {why}, so that "
        "nobody could read there.",
        "--action shutdown stops there for sure",
    )


def _prepared_at_fork(replayed: Replayed, forks: Sequence[Lsn]) -> Iterator[Finding]:
    """A hot standby reads prepared transactions from the WAL again, by their old timeline's name.

    The segment in which the timelines part is there by the new one's name only, so that the server
    ends with "requested WAL segment has already been removed" (found so on 12 to 18).
    """
    size = replayed.stretch.segment_size
    for fork in forks:
        inside = {
            event.xid
            for event in replayed.of(Prepared)
            if fork - fork % size <= event.position < fork < replayed.boundary
        }
        still_open = replayed.unfinished(inside, fork)
        if still_open:
            xids = ", ".join(map(str, sorted(still_open)))
            yield Finding(
                "trap.prepared_at_fork",
                "blocker",
                f"Recovery would fail where the timelines part, at {fork}: transaction {xids} was "
                "prepared in that very segment and had not ended. PostgreSQL looks for it in the "
                "older timeline's file, which a hot standby has removed by then.",
                "take a backup from after the fork, a target before it, or recover by hand with "
                "hot_standby = off",
            )


def _follows(xid: int, other: int) -> bool:
    return 0 < (xid - other) % _CIRCLE < _CIRCLE // 2


def _clock(replayed: Replayed, target: Target) -> Iterator[Finding]:
    """A clock that was set back lets earlier commits come later."""
    if target.time is None:
        return
    wanted = microseconds_of(target.time)
    late = [
        piece.found.commits
        for piece in replayed.stretch.pieces
        if piece.end > replayed.boundary and piece.found.commits.count
    ]
    earliest = min((ends.min_time for ends in late), default=wanted)
    if late and wanted - earliest > NOTICEABLE_STEP and _really_after(replayed, wanted):
        yield Finding(
            "trap.clock",
            "warning",
            "The server's clock was set back: transactions that it says were committed before "
            f"{format_for_server(target.time)} come after the first later one, where recovery "
            f"stops; the earliest of them at {format_for_server(moment_of(earliest))}.",
            "choose the last transaction to keep by its id: --to-xid XID",
        )


def _really_after(replayed: Replayed, wanted: int) -> bool:
    """Whether a commit behind the stop, not only in the same segment, is noticeably earlier."""
    for index, piece in enumerate(replayed.stretch.pieces):
        ends = piece.found.commits
        if piece.end <= replayed.boundary or not ends.count:
            continue
        if wanted - ends.min_time <= NOTICEABLE_STEP:
            continue
        rows = replayed.stretch.ends_of(index)
        behind = rows.commits & (rows.positions >= np.uint64(replayed.boundary))
        if bool((rows.times[behind] < wanted - NOTICEABLE_STEP).any()):
            return True
    return False


def _duplicate_names(replayed: Replayed, target: Target) -> Iterator[Finding]:
    if target.kind != "name":
        return
    points = [
        event
        for event in replayed.stretch.events()
        if isinstance(event, RestorePoint) and event.name == target.name
    ]
    if len(points) > 1:
        others = ", ".join(
            f"{point.position} ({format_for_server(moment_of(point.time))})" for point in points
        )
        yield Finding(
            "trap.duplicate_name",
            "warning",
            f"{len(points)} restore points are named '{target.name}': {others}. Recovery stops at "
            "the first.",
            "for a later one: --to-lsn with its position",
        )


def _created_places(replayed: Replayed, *, clone: bool) -> Iterator[Finding]:
    for event in replayed.of(TablespaceCreated):
        message = (
            f"Replay creates the tablespace {event.oid} at {event.path}: the directory must exist "
            "and be empty."
        )
        fix = f"mkdir the directory first, owned by the server's account: {event.path}"
        if clone:
            message = (
                f"Replay creates the tablespace {event.oid} at {event.path}, the very directory "
                "that the original cluster uses: the clone would write there."
            )
            fix = f"stop before it: --to-lsn {event.position} --exclusive"
        yield Finding("trap.tablespace_created", "blocker" if clone else "warning", message, fix)


def _minimal_wal(replayed: Replayed) -> Iterator[Finding]:
    for event in replayed.of(ParameterChange):
        if event.wal_level == 0:
            yield Finding(
                "trap.wal_level",
                "blocker",
                f"At {event.position} the server was set to wal_level = minimal: recovery cannot "
                "go past that.",
                f"stop before it: --to-lsn {event.position} --exclusive, or take a later backup",
            )
