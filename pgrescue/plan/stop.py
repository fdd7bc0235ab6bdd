"""Where recovery will stop: as far as the target alone tells, and in words."""

from __future__ import annotations

from pgrescue.catalog.model import Backup
from pgrescue.plan.model import Stop, StopKind, Transaction
from pgrescue.plan.target import Target, format_for_server

_KINDS: dict[str, StopKind] = {
    "latest": "end_of_wal",
    "immediate": "consistency",
    "time": "at_time",
    "lsn": "at_lsn",
    "name": "at_name",
}


def stop_of(target: Target, backup: Backup, timeline: int) -> Stop:
    """The stop for a target; transactions stay unknown until the WAL has been read."""
    if target.kind == "xid":
        kind: StopKind = "after_commit" if target.inclusive else "before_commit"
    else:
        kind = _KINDS[target.kind]
    return Stop(
        kind=kind,
        xid=target.xid,
        time=target.time,
        lsn=backup.stop_lsn if target.kind == "immediate" else target.lsn,
        name=target.name,
        timeline=timeline,
    )


def kept_and_lost(stop: Stop) -> str | None:
    """What is kept and what is lost, in words; None for a stop that the WAL was not asked for."""
    if stop.replayed_to is None:
        return None
    kept = f"the commit of {_named(stop.last_kept)}" if stop.last_kept else "the backup's own end"
    count = stop.discarded_transactions
    if count == 0:
        return f"Keeps everything up to {kept}; no later commit is in the WAL that recovery gets."
    many = "an uncounted number of" if count is None else f"{count:,}"
    first = f", the first of them {_named(stop.first_discarded)}" if stop.first_discarded else ""
    later = "transaction" if count == 1 else "transactions"
    return f"Keeps everything up to {kept}; loses {many} later {later}{first}."


def _named(transaction: Transaction | None) -> str:
    if transaction is None:
        return "unknown"
    return f"{transaction.xid} at {format_for_server(transaction.time)}"
