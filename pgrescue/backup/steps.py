"""The steps of a backup in words: what, why, what it changes, how it is undone."""

from __future__ import annotations

import shlex

from pgrescue.backup.model import BackupStepId, BackupWork
from pgrescue.plan.sealed import Step
from pgrescue.postgres.service import Command

_NOTHING = "Nothing."


def backup_steps(work: BackupWork) -> tuple[Step, ...]:
    """The steps, in order."""
    steps = [_prepare(work), _take(work)]
    if work.verify:
        steps.append(_verify(work))
    return (*steps, _publish(work))


def gentle_wait(bound: float) -> str:
    """How long a spread checkpoint lasts; one that is under way ends first."""
    return f"at most {bound:.0f} s, twice that if another one is under way"


def take_command(work: BackupWork) -> Command:
    """pg_basebackup, as whoever owns the backup."""
    return Command(work.command, work.run_as)


def _prepare(work: BackupWork) -> Step:
    return _step(
        "prepare",
        "Make a hidden directory for it",
        "What is not whole must not look like a backup, to no tool and to nobody.",
        (f"install -d -m 700{_owned(work)} {shlex.quote(work.partial)}",),
        f"{work.partial} appears; the catalog does not show it.",
        "It is removed.",
    )


def _take(work: BackupWork) -> Step:
    place = "standby" if work.in_recovery else "server"
    checkpoint = (
        "It begins at once, with a checkpoint that writes as fast as it can."
        if work.checkpoint == "fast"
        else f"It waits for a gentle checkpoint first, {gentle_wait(work.checkpoint_bound)}."
    )
    return _step(
        "take",
        "Take the backup",
        f"pg_basebackup copies the files while the {place} runs. {checkpoint}",
        (str(take_command(work)),),
        f"Nothing at the {place} but load and, for a while, a replication slot.",
        "What was taken is removed.",
    )


def _verify(work: BackupWork) -> Step:
    return _step(
        "verify",
        "Read it again and compare it with its manifest",
        "A backup that nobody has read is a hope. Every file's size and checksum, and every record "
        "of the WAL that it needs.",
        (f"# as pgrescue verify does with one in the catalog: {shlex.quote(work.partial)}",),
        _NOTHING,
        _NOTHING,
    )


def _publish(work: BackupWork) -> Step:
    return _step(
        "publish",
        "Give it its name",
        "Only now it is a backup: whole, on disk, in the catalog.",
        (
            f"mv -T {shlex.quote(work.partial)} {shlex.quote(work.destination)}",
            f"sync -f {shlex.quote(work.root)}",
        ),
        f"{work.destination} appears.",
        "A backup is deleted by a plan of its own: pgrescue prune.",
    )


def _owned(work: BackupWork) -> str:
    return f" -o {shlex.quote(work.run_as)}" if work.run_as else ""


def _step(
    step_id: BackupStepId,
    title: str,
    why: str,
    lines: tuple[str, ...],
    changes: str,
    undo: str,
) -> Step:
    return Step(step_id, title, why, lines, changes, undo, False, None)
