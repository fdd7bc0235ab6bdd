"""All the checks together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgrescue.backup.checks.archiving import archiving
from pgrescue.backup.checks.asked import Asked
from pgrescue.backup.checks.choices import compression, incremental, tablespaces
from pgrescue.backup.checks.destination import destination, other_runs, space
from pgrescue.backup.checks.source import (
    client,
    connection,
    last_checkpoint,
    privileges,
    senders,
    wal_kept,
    wal_level,
)
from pgrescue.findings import Finding


def preflight(asked: Asked) -> tuple[Finding, ...]:
    """Every check's findings, in the order in which people should read them."""
    return tuple(finding for check in CHECKS for finding in check(asked))


CHECKS: tuple[Callable[[Asked], Iterator[Finding]], ...] = (
    connection,
    client,
    privileges,
    wal_level,
    senders,
    compression,
    incremental,
    tablespaces,
    destination,
    space,
    archiving,
    wal_kept,
    last_checkpoint,
    other_runs,
)
