"""The steps of a removal in words: what, why, what it changes, how it is undone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

from pgrescue.plan.sealed import Step
from pgrescue.retention.model import WalCut
from pgrescue.retention.prune_model import PruneStepId, PruneWork

_BACK = "pgrescue undo renames them back."


def prune_steps(work: PruneWork, cuts: Sequence[WalCut]) -> tuple[Step, ...]:
    """The steps, in order."""
    steps = []
    if work.moves:
        steps.append(_backups(work))
    if work.wal:
        steps.append(_wal(work, cuts))
    if work.delete and steps:
        steps.append(_delete(work))
    return tuple(steps)


def _backups(work: PruneWork) -> Step:
    places = dict.fromkeys(str(PurePath(move.aside).parent) for move in work.moves)
    return _step(
        "set_aside_backups",
        "Set the backups aside",
        "Renamed on their own file system into a hidden directory: the catalog does not show them "
        "any more, and nothing is deleted yet. What builds upon others goes first.",
        (
            *(f"mkdir -m 700 {shlex.quote(path)}" for path in places),
            *(f"mv -T {shlex.quote(m.path)} {shlex.quote(m.aside)}" for m in work.moves),
        ),
        f"{len(work.moves)} directories move; no space is freed yet.",
    )


def _wal(work: PruneWork, cuts: Sequence[WalCut]) -> Step:
    count = sum(len(group.names) for group in work.wal)
    older = " || ".join(
        f'(substr($0, 1, 8) == "{cut.below[:8]}" && substr($0, 1, 24) < "{cut.below}")'
        for cut in cuts
    )
    which = f"length($0) >= 24 && substr($0, 1, 24) !~ /[^0-9A-F]/ && ({older})"
    lines: list[str] = []
    for group in work.wal:
        into = shlex.quote(group.aside)
        lines.append(f"mkdir -m 700 {into}")
        lines.append(
            f"cd {shlex.quote(group.directory)} && ls | awk {shlex.quote(which)} | "
            f"xargs -d '\\n' mv -t {into}"
        )
    return _step(
        "set_aside_wal",
        "Set the WAL aside that no backup needs",
        "It is older than the start of every backup that stays. History files stay, so that "
        "recovery finds its way from timeline to timeline.",
        tuple(lines),
        f"{count} files leave {work.archive}; no space is freed yet.",
    )


def _delete(work: PruneWork) -> Step:
    paths = (*(move.aside for move in work.moves), *(group.aside for group in work.wal))
    return Step(
        "delete_old",
        "Delete what was set aside",
        "Asked for with --delete, to free the space at once.",
        tuple(f"rm -r --one-file-system {shlex.quote(path)}" for path in paths),
        "The backups and their WAL are gone for good.",
        "Cannot be undone.",
        True,
        None,
    )


def _step(step_id: PruneStepId, title: str, why: str, lines: tuple[str, ...], changes: str) -> Step:
    return Step(step_id, title, why, lines, changes, _BACK, False, None)
