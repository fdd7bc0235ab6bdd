"""Where recovery has arrived, compared with where the plan said that it would."""

from __future__ import annotations

from datetime import datetime

from pgrescue.plan.model import Stop
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.records import Reached
from pgrescue.run.state import ReachedPoint

_PAGE = 8192
_LONGEST_PAGE_HEADER = 40


def arrival(
    stop: Stop, lsn: Lsn | None, moment: datetime | None, xid: int | None, timeline: int | None
) -> Reached:
    """What is reached at `lsn`: where the plan foretold it, the transaction that it foretold.

    `moment` and `xid` are what the server itself says, for any other place.
    """
    kept = stop.last_kept
    same_commit = kept is not None and moment == kept.time
    if lsn is not None and (is_foretold(stop, lsn) or same_commit):
        return Reached(
            lsn=lsn,
            time=kept.time if kept else moment,
            xid=kept.xid if kept else None,
            timeline=timeline,
        )
    return Reached(lsn=lsn, time=moment, xid=xid, timeline=timeline)


def surprise(stop: Stop, lsn: Lsn, *, was_running: bool) -> str | None:
    """What to say of a place that is not the one foretold."""
    if stop.replayed_to is None or is_foretold(stop, lsn):
        return None
    if stop.kind == "end_of_wal" and was_running and lsn > stop.replayed_to:
        return (
            f"Recovery went up to {lsn}: between the plan, which saw WAL up to {stop.replayed_to}, "
            "and its end the old server wrote more."
        )
    return f"Recovery went up to {lsn}; the plan foretold {stop.replayed_to}."


def falls_short(stop: Stop, reached: ReachedPoint) -> bool:
    """Whether recovery to the end of the WAL has missed a transaction that the plan saw there."""
    if stop.kind != "end_of_wal" or stop.replayed_to is None or reached.lsn is None:
        return False
    if reached.lsn >= stop.replayed_to or is_foretold(stop, reached.lsn):
        return False
    kept = stop.last_kept
    return kept is not None and (reached.time is None or reached.time < kept.time)


def is_foretold(stop: Stop, lsn: Lsn) -> bool:
    """Whether replay has come to the end of the record that the plan named.

    The server names the end of the last record, the plan may name the beginning of the next one:
    at the end of a page its header lies in between.
    """
    if stop.replayed_to is None:
        return False
    ahead = stop.replayed_to - lsn
    return ahead == 0 or (0 < ahead <= _LONGEST_PAGE_HEADER and lsn % _PAGE == 0)
