"""Preflight: one function per check, each from facts to findings.

A blocker forbids the run and cannot be waved through; a warning is shown and recorded.
"""

from __future__ import annotations

from collections.abc import Callable

from pgrescue.findings import Finding
from pgrescue.plan.checks import (
    backup,
    cluster,
    foretold,
    host,
    manager,
    names,
    target,
    wal,
)
from pgrescue.plan.checks.context import Context
from pgrescue.plan.facts import Facts
from pgrescue.plan.model import Space, Work
from pgrescue.plan.request import RestoreRequest

Check = Callable[[Context], list[Finding]]

CHECKS: tuple[Check, ...] = (
    backup.usable,
    backup.same_cluster,
    backup.same_major_version,
    backup.same_segment_size,
    backup.tablespaces,
    backup.tablespace_paths,
    backup.chain_needs_an_empty_directory,
    backup.chain_is_readable,
    backup.leftover_settings,
    backup.raised_limits,
    cluster.is_a_data_directory,
    cluster.places,
    cluster.can_be_stopped,
    cluster.has_its_own_service,
    manager.lets_go,
    manager.is_no_service,
    cluster.unfinished_runs,
    cluster.clone_destination,
    cluster.clone_meets_new_tablespaces,
    wal.archive,
    wal.complete_to_the_backups_end,
    wal.beyond_the_archive,
    wal.restore_command,
    wal.tail,
    foretold.reachable,
    foretold.stop,
    foretold.end_of_wal,
    foretold.traps,
    target.timeline,
    target.after_the_backups_end,
    target.not_in_the_future,
    target.transaction_was_begun,
    target.nothing_to_pause_at,
    target.position_unknown,
    target.old_server_promotes,
    names.names_fit,
    names.commands_without_passwords,
    host.programs,
    host.privileges,
    host.port,
    host.space,
    host.inodes,
)


def preflight(
    facts: Facts,
    request: RestoreRequest,
    work: Work,
    space: tuple[Space, ...],
    notify: str | None = None,
) -> tuple[Finding, ...]:
    """Every check's findings, blockers first."""
    context = Context(facts, request, work, space, notify)
    findings = [finding for check in CHECKS for finding in check(context)]
    order = {"blocker": 0, "warning": 1, "ok": 2}
    return tuple(sorted(findings, key=lambda finding: order[finding.status]))
