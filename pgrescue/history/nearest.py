"""Why a target cannot be reached, and the nearest ones that can."""

from __future__ import annotations

import difflib

import numpy as np

from pgrescue.plan.foretold import BEFORE_BACKUP, Alternative, Unreachable
from pgrescue.plan.target import Target, format_for_server
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.events import RestorePoint
from pgrescue.wal.sift import EndRows, transaction_ends
from pgrescue.wal.stretch import Stretch
from pgrescue.wal.summary import Mark
from pgrescue.wal.transactions import moment_of

NOT_CONSISTENT = "target.not_consistent"
_NAMES_OFFERED = 5
_PIECES_LOOKED_AT = 4
_SEARCHED_FOR_SUBTRANSACTIONS = 512
"""Pieces, at most, that are read again for the id of a subtransaction."""


def latest(stretch: Stretch) -> Alternative:
    """Everything that can be replayed."""
    last = stretch.last_commit
    words = f"all of the WAL, up to {stretch.end}"
    if last is not None:
        words = f"everything, up to the commit of {last.xid} at {time_text(last)}"
    return Alternative(("--to", "latest"), words)


def time_text(mark: Mark) -> str:
    """When a transaction ended."""
    return format_for_server(moment_of(mark.time))


def beyond_the_end(stretch: Stretch, target: Target) -> Unreachable:
    """There is no record to stop at: the WAL ends before the target."""
    last = stretch.last_commit
    end = f"The WAL that can be replayed ends at {stretch.end}, in {stretch.segment}"
    if stretch.reason:
        end += f" ({stretch.reason})"
    ending = f"{end}; " + (
        f"its last commit is that of {last.xid} at {time_text(last)}."
        if last is not None
        else "it has no commit."
    )
    why = f"Nothing is there to stop at for the target, {target}. {ending}"
    return Unreachable("target.beyond_end", why, (latest(stretch),))


def not_consistent(stretch: Stretch) -> Unreachable:
    """The WAL ends before the backup's own end: nothing can be recovered from it."""
    damage = f" ({stretch.reason})" if stretch.reason else ""
    why = (
        "The backup cannot become consistent: the WAL that can be replayed ends at "
        f"{stretch.end}, in {stretch.segment}{damage}, before the end of the backup."
    )
    return Unreachable(NOT_CONSISTENT, why, (), try_earlier_backup=True)


def unreadable(segment: str, reason: str) -> Unreachable:
    """The very first file is no WAL."""
    why = f"{segment}, with which the recovery would begin, cannot be used: {reason or 'no WAL'}."
    return Unreachable(NOT_CONSISTENT, why, (), try_earlier_backup=True)


def before_consistency(
    stretch: Stretch, target: Target, position: Lsn, consistent: Lsn
) -> Unreachable:
    """Recovery would stop before the backup's own end, where it is not consistent yet."""
    why = (
        f"Recovery would stop for the target, {target}, at {position}, before the backup's end at "
        f"{consistent}. A backup can only be recovered to moments after its own end."
    )
    soonest = Alternative(("--to", "immediate"), "this backup's earliest state")
    return Unreachable(BEFORE_BACKUP, why, (soonest,), try_earlier_backup=True)


def no_such_name(stretch: Stretch, name: str, consistent: Lsn | None) -> Unreachable:
    """No restore point of that name; those that there are."""
    points = [
        event
        for event in stretch.events()
        if isinstance(event, RestorePoint) and (consistent is None or event.position >= consistent)
    ]
    names = list(dict.fromkeys(point.name for point in points))
    close = difflib.get_close_matches(name, names, n=_NAMES_OFFERED, cutoff=0.0)
    found = {point.name: point for point in reversed(points)}
    offered = tuple(
        Alternative(
            ("--to-name", known), f"made at {format_for_server(moment_of(found[known].time))}"
        )
        for known in close
    )
    there = (
        f"There are {len(names)}: {', '.join(names[:_NAMES_OFFERED])}" if names else "There is none"
    )
    why = (
        f"No restore point is named '{name}' in the WAL from {stretch.start} to {stretch.end}. "
        f"{there}{', ...' if len(names) > _NAMES_OFFERED else ''}."
    )
    return Unreachable(
        "target.no_such_name", why, (*offered, latest(stretch)), try_earlier_backup=True
    )


def no_such_transaction(stretch: Stretch, target: Target, consistent: Lsn | None) -> Unreachable:
    """Neither a commit nor an abort of that id; perhaps it is a subtransaction's."""
    xid = (target.xid or 0) & 0xFFFFFFFF
    top = _top_transaction(stretch, xid)
    option = "--to-xid" if target.inclusive else "--before-xid"
    if top is not None:
        why = (
            f"{xid} is a subtransaction of {top.xid}, which was committed at {time_text(top)}. "
            "PostgreSQL stops only at whole transactions."
        )
        words = f"{'after' if target.inclusive else 'just before'} the whole transaction"
        return Unreachable(
            "target.subtransaction", why, (Alternative((option, str(top.xid)), words),)
        )
    why = (
        f"No transaction {xid} is committed or rolled back in the WAL from {stretch.start} to "
        f"{stretch.end}: it only read, had not ended by then, ended before the backup began, or "
        "never was."
    )
    near = _nearest(stretch, xid, consistent)
    offered = [Alternative((option, str(mark.xid)), f"ended at {time_text(mark)}") for mark in near]
    return Unreachable(
        "target.no_such_transaction",
        why,
        (*offered, latest(stretch)),
        try_earlier_backup=True,
    )


def _top_transaction(stretch: Stretch, xid: int) -> Mark | None:
    """The transaction whose commit lists this id among its subtransactions."""
    searched = 0
    for index, piece in enumerate(stretch.pieces):
        commits = piece.found.commits
        # A transaction's own id is older than those of its subtransactions.
        if not commits.count or commits.min_xid > xid or searched > _SEARCHED_FOR_SUBTRANSACTIONS:
            continue
        searched += 1
        for batch in stretch.records_of(index):
            for position, end in transaction_ends(batch, stretch.major)[1]:
                if xid in end.subxids and end.outcome == "commit":
                    return Mark(position, end.time, end.xid)
    return None


def _nearest(stretch: Stretch, xid: int, consistent: Lsn | None) -> list[Mark]:
    """The committed transactions with the next lower and the next higher id."""

    def distance(index: int) -> int:
        commits = stretch.pieces[index].found.commits
        return max(commits.min_xid - xid, xid - commits.max_xid, 0)

    with_commits = [
        index
        for index, piece in enumerate(stretch.pieces)
        if piece.found.commits.count and piece.end > (consistent or 0)
    ]
    near = sorted(with_commits, key=distance)[:_PIECES_LOOKED_AT]
    rows = EndRows.joined([stretch.ends_of(index) for index in near])
    valid = rows.commits & (rows.positions >= np.uint64(consistent or 0))
    marks = [rows.mark(index) for index in np.flatnonzero(valid).tolist()]
    lower = max((mark for mark in marks if mark.xid < xid), key=_by_xid, default=None)
    higher = min((mark for mark in marks if mark.xid > xid), key=_by_xid, default=None)
    return [mark for mark in (lower, higher) if mark is not None]


def _by_xid(mark: Mark) -> int:
    return mark.xid
