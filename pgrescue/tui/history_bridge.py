"""The part of the bridge that leads to the WAL archive; everything here may block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from pgrescue.config.model import Config
from pgrescue.config.state import private_directory, wal_index_file
from pgrescue.desk import Desk
from pgrescue.history.model import CursorView, Incident, SegmentGlance, TimelinePicture
from pgrescue.plan.model import Transaction
from pgrescue.postgres.lsn import Lsn
from pgrescue.survey.past import Past
from pgrescue.wal.index import WalIndex
from pgrescue.wal.index_store import IndexStore


class PastBridge:
    """Keeps what was listed of an archive until its map is asked for again."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._pasts: dict[str, Past] = {}
        self._index: WalIndex | None = None

    def timeline(self, cluster: str) -> TimelinePicture:
        """The archive by its names; opens next to nothing."""
        past = self._open(cluster)
        with self._lock:
            self._pasts[cluster] = past
        return past.picture()

    def read_segments(
        self, cluster: str, timeline: int, numbers: Sequence[int]
    ) -> tuple[SegmentGlance, ...]:
        """Read these segments of one timeline."""
        return tuple(self._past(cluster).glances(timeline, numbers))

    def transactions(self, cluster: str, timeline: int, number: int) -> tuple[Transaction, ...]:
        """Every commit in the file of one segment, in the order of the WAL."""
        return tuple(self._past(cluster).transactions(timeline, number))

    def at_position(self, cluster: str, timeline: int, lsn: Lsn) -> CursorView:
        """What a recovery to just before a position keeps and loses."""
        return self._past(cluster).at_position(timeline, lsn)

    def incidents(self, cluster: str, progress: Callable[[int, int], None]) -> tuple[Incident, ...]:
        """Transactions that destroyed data; what `progress` raises gives the search up."""
        past = self._open(cluster)
        with self._lock:
            self._pasts[cluster] = past
        return tuple(past.incidents(progress=progress).incidents)

    def locate(self, cluster: str, timeline: int, moment: datetime) -> Lsn:
        """The position of the first commit after a time."""
        return self._past(cluster).locate(timeline, moment)

    def _past(self, cluster: str) -> Past:
        with self._lock:
            known = self._pasts.get(cluster)
        if known is not None:
            return known
        opened = self._open(cluster)
        with self._lock:
            return self._pasts.setdefault(cluster, opened)

    def _open(self, cluster: str) -> Past:
        desk = Desk(self._config, self._config.cluster(cluster))
        with self._lock:
            if self._index is None:
                private_directory()
                self._index = WalIndex(IndexStore(wal_index_file()))
            index = self._index
        return desk.open_past(index)
