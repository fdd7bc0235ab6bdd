"""What the WAL itself says of the target and of the way to it."""

from __future__ import annotations

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker, ok, warning
from pgrescue.plan.stop import kept_and_lost

_NEXT_PAGE = 8192
_BRING_IT = (
    "bring the WAL that is missing into the archive (pgrescue timeline says what it has), or "
    "choose another backup or an earlier target"
)


def reachable(context: Context) -> list[Finding]:
    """Recovery will find a record to stop at."""
    foretold = context.facts.foretold
    if foretold is None or foretold.unreachable is None:
        return []
    unreachable = foretold.unreachable
    fix = "; or ".join(str(alternative) for alternative in unreachable.alternatives)
    if _is_being_written(context):
        return warning(
            unreachable.code,
            f"{unreachable.why} The server runs: what it writes until it is stopped comes behind.",
            fix or None,
        )
    return blocker(unreachable.code, unreachable.why, fix or _BRING_IT)


def _is_being_written(context: Context) -> bool:
    """Whether the target is the end of a running server's WAL: its stop writes one more record."""
    foretold, target = context.facts.foretold, context.request.target
    running = context.in_place and context.facts.cluster.postmaster is not None
    if foretold is None or not running or target.lsn is None:
        return False
    return 0 <= target.lsn - foretold.end <= _NEXT_PAGE


def stop(context: Context) -> list[Finding]:
    """Say which commit is the last one kept, and what is lost."""
    foretold = context.facts.foretold
    if foretold is None or foretold.unreachable is not None:
        return []
    words = kept_and_lost(foretold.stop)
    return ok("target.stop", words) if words else []


def end_of_wal(context: Context) -> list[Finding]:
    """The WAL ends before its last file does: damage, or a segment that was never filled."""
    foretold = context.facts.foretold
    if foretold is None or not foretold.end_reason or context.facts.archive.restore_command:
        return []
    target = context.request.target
    where = f"{foretold.end_segment} at {foretold.end}: {foretold.end_reason}"
    if foretold.is_damage:
        return warning(
            "wal.damaged",
            f"The WAL is damaged in {where}. Recovery cannot get beyond that.",
            f"look for a whole copy of {foretold.end_segment} on the old primary or its standbys",
        )
    if target.kind == "latest":
        return ok("wal.end", f"The WAL ends in {where}.")
    return []


def traps(context: Context) -> list[Finding]:
    """What would surprise at this target, with the way around it."""
    return list(context.facts.foretold.traps) if context.facts.foretold else []
