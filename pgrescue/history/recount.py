"""One transaction's rows, counted exactly: its part of the WAL is read again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pgrescue.history.activity import Activity
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.row_changes import RowCounter
from pgrescue.wal.sift import row_records
from pgrescue.wal.stretch import Stretch

_QUIET_PIECES = 3
"""So many pieces without a record of it, and a transaction is taken to begin after them."""
_MOST_PIECES = 4096


def recount(stretch: Stretch, last_piece: int, xids: Iterable[int], first: Lsn | None) -> Activity:
    """Rows that these ids deleted and updated, from the piece of their commit backwards.

    `first` is where they are known to have been at work already.
    """
    wanted = np.array(sorted(set(xids)), dtype=np.uint32)
    activity = Activity()
    quiet = 0
    for number in range(last_piece, max(last_piece - _MOST_PIECES, -1), -1):
        counter = RowCounter(stretch.major, 1)
        seen: Lsn | None = None
        for batch in stretch.records_of(number):
            own = batch.select(np.isin(batch.xids, wanted))
            if len(own):
                seen = seen or Lsn(own.positions[0])
                counter.take(row_records(own))
        if seen is None:
            quiet += 1
            begun = first is None or stretch.pieces[number].start <= first
            if quiet > _QUIET_PIECES and begun:
                break
            continue
        quiet = 0
        activity.note(seen, number)
        for rows in counter.result():
            activity.deleted[rows.file] = activity.deleted.get(rows.file, 0) + rows.deleted
            activity.updated[rows.file] = activity.updated.get(rows.file, 0) + rows.updated
    return activity
