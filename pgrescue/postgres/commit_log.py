"""`pg_xact`: how transactions ended, two bits for each.

Layout: `src/backend/access/transam/clog.c` and the SLRU segments of `slru.c`; the states are in
`src/include/access/clog.h`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

DIRECTORY = "pg_xact"

TransactionStatus = Literal["committed", "aborted", "in progress", "unknown"]

_SEGMENT_NAME = re.compile(r"[0-9A-F]{4,}")
_PER_BYTE = 4
_PER_SEGMENT = 32 * 8192 * _PER_BYTE
_FIRST_NORMAL_XID = 3
# A subtransaction whose parent has not ended for good says nothing by itself.
_STATES: tuple[TransactionStatus, ...] = ("in progress", "committed", "aborted", "unknown")


class CommitLog:
    """The transactions of a cluster, as far as its `pg_xact` remembers them."""

    def __init__(self, segments: Mapping[str, bytes]) -> None:
        """Take the files of `pg_xact` by their names; others are ignored."""
        self._segments = {
            int(name, 16): data for name, data in segments.items() if _SEGMENT_NAME.fullmatch(name)
        }

    def status(self, xid: int) -> TransactionStatus:
        """How a transaction or subtransaction ended; `unknown` where no file covers it.

        A transaction that a crash or the backup cut off is `in progress` for ever.
        """
        if 0 < xid < _FIRST_NORMAL_XID:  # bootstrap, and frozen before 9.4
            return "committed"
        segment = self._segments.get(xid // _PER_SEGMENT, b"")
        index = xid % _PER_SEGMENT
        if xid == 0 or index // _PER_BYTE >= len(segment):
            return "unknown"
        return _STATES[segment[index // _PER_BYTE] >> 2 * (index % _PER_BYTE) & 3]
