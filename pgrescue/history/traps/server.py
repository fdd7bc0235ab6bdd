"""Traps of what a server cannot replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgrescue.findings import Finding
from pgrescue.history.replayed import Replayed
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.events import ParameterChange, Prepared


def prepared_at_fork(replayed: Replayed, forks: Sequence[Lsn]) -> Iterator[Finding]:
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


def minimal_wal(replayed: Replayed) -> Iterator[Finding]:
    for event in replayed.of(ParameterChange):
        if event.wal_level == 0:
            yield Finding(
                "trap.wal_level",
                "blocker",
                f"At {event.position} the server was set to wal_level = minimal: recovery cannot "
                "go past that.",
                f"stop before it: --to-lsn {event.position} --exclusive, or take a later backup",
            )
