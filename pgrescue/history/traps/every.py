"""All the traps together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pgrescue.findings import Finding
from pgrescue.history.namebook import NameBook
from pgrescue.history.replayed import Replayed
from pgrescue.history.traps.files import created_places, half_dropped
from pgrescue.history.traps.pause import locked_tables, pause_turns_into_promotion
from pgrescue.history.traps.server import minimal_wal, prepared_at_fork
from pgrescue.history.traps.target import clock, duplicate_names
from pgrescue.plan.target import Target
from pgrescue.postgres.lsn import Lsn


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
        *locked_tables(replayed, target, names),
        *half_dropped(replayed, names),
        *pause_turns_into_promotion(replayed, target),
        *prepared_at_fork(replayed, forks),
        *clock(replayed, target),
        *duplicate_names(replayed, target),
        *created_places(replayed, clone=clone),
        *minimal_wal(replayed),
    )
