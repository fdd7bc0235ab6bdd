"""From facts and what was asked for to a sealed plan of a removal; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from pgrescue.catalog.discover import find_backup
from pgrescue.catalog.model import Backup
from pgrescue.errors import UsageError
from pgrescue.plan.model import Move
from pgrescue.plan.sealed import seal
from pgrescue.retention.advise import advise, advise_on
from pgrescue.retention.checks import Asked, preflight
from pgrescue.retention.counted import own_identifier
from pgrescue.retention.facts import RetentionFacts
from pgrescue.retention.model import Advice
from pgrescue.retention.prune_facts import PruneFacts
from pgrescue.retention.prune_model import PrunePlan, PruneRequest, PruneWork, SomeEntries
from pgrescue.retention.steps import prune_steps
from pgrescue.retention.wal import files_by_directory

REMOVED = ".pgrescue-removed-"
"""Beginning of the hidden directories for what was set aside, beside where it was."""


def advice_for(facts: RetentionFacts, request: PruneRequest) -> tuple[Advice, list[Backup]]:
    """What would go and what that means.

    Raises `UsageError` for names of no backup, and where neither a policy nor a name was given.
    """
    if request.named:
        found = [find_backup(facts.backups, name) for name in request.named]
        chosen = list({backup.id: backup for backup in found}.values())
        return advise_on(facts, request.policy, chosen), chosen
    if request.policy.keeps_everything:
        raise UsageError(
            "There is no policy, so that everything is kept.",
            "The configuration has no table [clusters.NAME.retention], and no backup was named.",
            next_steps=("pgrescue prune --keep-count 3 --dry-run", "pgrescue prune BACKUP"),
        )
    advice = advise(facts, request.policy)
    gone = {item.id for item in advice.removable}
    return advice, [backup for backup in facts.backups if backup.id in gone]


def make_prune_plan(
    facts: PruneFacts,
    request: PruneRequest,
    *,
    cluster: str,
    catalog_cache: str,
    seen: Mapping[str, str],
) -> PrunePlan:
    """The sealed plan; findings that forbid it are in its preflight. May have nothing to do."""
    advice, removed = advice_for(facts.retention, request)
    if request.keep_wal:
        advice = replace(advice, wal=replace(advice.wal, cuts=(), files=()))
    work = _work(facts, request, advice, removed, catalog_cache)
    plan = PrunePlan(
        id="",
        created_at=facts.host.now,
        host=facts.host.name,
        operator=facts.host.operator,
        cluster=cluster,
        preflight=preflight(Asked(facts, request, advice, removed, work)),
        steps=prune_steps(work, advice.wal.cuts),
        seen=dict(seen),
        policy=request.policy,
        named=bool(request.named),
        removed=advice.removable,
        kept=tuple(item.id for item in advice.kept),
        cuts=advice.wal.cuts,
        frees_bytes=advice.frees_bytes,
        work=work,
    )
    return seal(plan)


def _work(
    facts: PruneFacts,
    request: PruneRequest,
    advice: Advice,
    removed: Sequence[Backup],
    catalog_cache: str,
) -> PruneWork:
    tag = f"{facts.host.now:%Y%m%dT%H%M%SZ}"
    moves = _moves(facts, removed, tag)
    archive = facts.retention.archive
    return PruneWork(
        roots=facts.roots,
        backups=tuple(backup.id for backup in removed),
        paths=tuple(facts.places[backup.id].real_path for backup in removed),
        moves=moves,
        archive=str(archive.path) if archive is not None else None,
        wal=_wal(advice, moves, tag),
        delete=request.delete,
        owner=facts.owner,
        mode=0o700,
        catalog_cache=catalog_cache,
        elsewhere=facts.elsewhere,
        system_identifier=own_identifier(facts.retention),
    )


def _moves(facts: PruneFacts, removed: Sequence[Backup], tag: str) -> tuple[Move, ...]:
    """Each beside where it was; what builds upon others before those, so that no chain breaks."""
    moves = []
    for backup in sorted(removed, key=lambda item: (item.start_lsn or 0, item.id), reverse=True):
        place = facts.places[backup.id]
        for path in (place.real_path, *place.tablespaces):
            parent, name = PurePath(path).parent, PurePath(path).name
            moves.append(Move(path, f"{parent}/{REMOVED}{tag}/{name}", False))
    return tuple(moves)


def _wal(advice: Advice, moves: Sequence[Move], tag: str) -> tuple[SomeEntries, ...]:
    """For each directory of the archive the files that go, and a place in it for them."""
    taken = {str(PurePath(move.aside).parent) for move in moves}
    groups = []
    for directory, names in files_by_directory(advice.wal.files).items():
        aside = f"{directory}/{REMOVED}{tag}"
        # Backups may lie beside the WAL: what is set aside must not be mixed.
        groups.append(SomeEntries(directory, f"{aside}.wal" if aside in taken else aside, names))
    return tuple(groups)
