"""Where recovery will stop, as far as the target alone tells."""

from __future__ import annotations

from pgrescue.catalog.model import Backup
from pgrescue.plan.model import Stop, StopKind
from pgrescue.plan.target import Target

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
