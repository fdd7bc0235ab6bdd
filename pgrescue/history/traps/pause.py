"""Traps of a recovery that pauses at its target."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgrescue.findings import Finding
from pgrescue.history.namebook import NameBook
from pgrescue.history.replayed import Replayed
from pgrescue.history.stop_point import kept_at
from pgrescue.plan.target import Target
from pgrescue.wal.events import Checkpoint, NameGiven, RelationLocked, RunningTransactions

_CIRCLE = 1 << 32
_NAMED = 4


def locked_tables(
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


def pause_turns_into_promotion(replayed: Replayed, target: Target) -> Iterator[Finding]:
    """As `ProcArrayApplyRecoveryInfo` in `src/backend/storage/ipc/procarray.c` judges snapshots."""
    if target.end != "pause":
        return
    if any(checkpoint.shutdown for checkpoint in replayed.of(Checkpoint)):
        return  # nothing was running then, so that nothing needs to be known of it
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


def _follows(xid: int, other: int) -> bool:
    return 0 < (xid - other) % _CIRCLE < _CIRCLE // 2
