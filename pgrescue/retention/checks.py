"""What speaks against a removal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pgrescue.catalog.model import Backup
from pgrescue.findings import Finding
from pgrescue.retention.counted import Family, counted_backups, own_identifier
from pgrescue.retention.lines import current_line, leading_among, unproved_newest
from pgrescue.retention.model import Advice
from pgrescue.retention.prune_facts import PruneFacts
from pgrescue.retention.prune_model import PruneRequest, PruneWork
from pgrescue.retention.words import lost_text


@dataclass(frozen=True, slots=True)
class Asked:
    """The facts, what was asked for, what it means, and what would be done."""

    facts: PruneFacts
    request: PruneRequest
    advice: Advice
    removed: Sequence[Backup]
    work: PruneWork

    @property
    def counted_fulls(self) -> list[Backup]:
        """The full backups that stay and count, oldest first."""
        gone = {backup.id for backup in self.removed}
        counted = counted_backups(self.facts.retention)
        return [b for b in counted if b.kind == "full" and b.id not in gone]

    @property
    def leading_fulls(self) -> list[Backup]:
        """Those of them from which recovery can follow the cluster's own timeline."""
        return leading_among(self.facts.retention, self.counted_fulls)

    @property
    def staying(self) -> list[Backup]:
        """What is left in the catalog."""
        gone = {backup.id for backup in self.removed}
        return [backup for backup in self.facts.retention.backups if backup.id not in gone]


def preflight(asked: Asked) -> tuple[Finding, ...]:
    """Every check's findings, in the order in which people should read them."""
    return tuple(finding for check in CHECKS for finding in check(asked))


def recognized(asked: Asked) -> Iterator[Finding]:
    """Only what is a backup by its files is touched."""
    for backup in asked.removed:
        if backup.format is None:
            yield Finding(
                "backup.unknown",
                "blocker",
                f"{backup.path} is no backup that can be recognized: {backup.problems[0].message}",
                "look at it, and remove it by hand if it is yours to remove",
            )


def foreign(asked: Asked) -> Iterator[Finding]:
    """Another cluster's backups may be its only ones: its own configuration tells."""
    own = own_identifier(asked.facts.retention)
    for backup in asked.removed:
        if backup.system_identifier not in (None, own):
            known = f"this one is {own}" if own else "which one is meant is not known"
            yield Finding(
                "backup.foreign",
                "blocker",
                f"{backup.id} is of the cluster {backup.system_identifier}; {known}.",
                "remove it with the configuration of its own cluster, or by hand",
            )


def last_full(asked: Asked) -> Iterator[Finding]:
    """A usable full backup is left, and one that leads to where the cluster is."""
    fulls = [b for b in counted_backups(asked.facts.retention) if b.kind == "full"]
    left = asked.counted_fulls
    if not left and asked.removed:
        message = (
            f"{fulls[-1].id} is the last usable full backup."
            if fulls
            else "There is no usable full backup: what is there may be all there is."
        )
        yield Finding("backup.last", "blocker", message, "take another first: pgrescue backup")
    elif left and asked.removed and not asked.leading_fulls:
        line = current_line(asked.facts.retention, counted_backups(asked.facts.retention))
        yield Finding(
            "backup.line",
            "blocker",
            f"No usable full backup would be left that leads to timeline {line}, on which the "
            f"cluster is: {left[-1].id} is of a line that was abandoned, or was taken later.",
            "take another first: pgrescue backup",
        )
    elif left:
        newest = (asked.leading_fulls or left)[-1]
        yield Finding("backup.last", "ok", f"{newest.id}, a usable full backup, stays.")


def proved(asked: Asked) -> Iterator[Finding]:
    """What a policy takes away rests on a backup that was read again, names on who gave them."""
    leading = asked.leading_fulls
    newest = unproved_newest(asked.facts.retention, leading)
    if not asked.removed or newest is None:
        return
    verify = f"pgrescue verify {newest.id}"
    if not asked.request.named:
        message = f"{newest.id}, the newest full backup that stays, has not been verified."
        fix = f"{verify}, or name the backups that are to go: pgrescue prune BACKUP"
        yield Finding("backup.unverified", "blocker", message, fix)
    elif not any(backup.verified_at for backup in leading):
        message = "None of the full backups that stay has been verified."
        yield Finding("backup.unverified", "warning", message, verify)


def parents(asked: Asked) -> Iterator[Finding]:
    """Nothing that stays builds upon something that goes."""
    staying = {backup.id for backup in asked.staying}
    family = Family(asked.facts.retention.backups)
    for backup in asked.removed:
        children = [child.id for child in family.descendants(backup) if child.id in staying]
        if children:
            yield Finding(
                "backup.parent",
                "blocker",
                f"{backup.id} is needed by the incremental {', '.join(children)}.",
                f"name them, too: pgrescue prune {' '.join([backup.id, *children])}",
            )


def place(asked: Asked) -> Iterator[Finding]:
    """It can be renamed."""
    for backup in asked.removed:
        where = asked.facts.places[backup.id]
        why = asked.facts.retention.immovable.get(backup.id)
        if why is not None:
            message = f"{backup.id} cannot be set aside: {why}."
            fix = "move by hand what is in the way, or change the configuration"
            yield Finding("backup.place", "blocker", message, fix)
        elif where.served is not None:
            message = f"{backup.id} is in use by the server that runs in {where.served}."
            fix = "stop that server, or give it a copy of its own"
            yield Finding("backup.served", "blocker", message, fix)
        elif not where.movable:
            yield Finding(
                "backup.privileges",
                "blocker",
                f"{where.real_path} cannot be renamed by {asked.facts.host.account.name}.",
                "run it as root, or as the owner of the directory",
            )


def in_use(asked: Asked) -> Iterator[Finding]:
    """No run that has not ended reads it, and no other removal is half-done."""
    for backup in asked.removed:
        for run in asked.facts.used_by.get(backup.id, ()):
            message = f"{backup.id} is in use by the run {run.run}, which is {run.state}."
            yield Finding("backup.in_use", "blocker", message, f"pgrescue status {run.run}")
    for run in asked.facts.unfinished:
        yield Finding(
            "run.unfinished",
            "blocker",
            f"Another removal from these directories, {run.run}, has not ended: {run.state}.",
            f"pgrescue resume {run.run}   or   pgrescue undo {run.run}",
        )


def archive(asked: Asked) -> Iterator[Finding]:
    """Whether WAL goes, too, and may be renamed."""
    wal = asked.advice.wal
    if asked.request.keep_wal:
        yield Finding("wal.kept", "ok", "The archived WAL is left alone, as asked for.")
    elif wal.blocked is not None and asked.facts.retention.archive is not None:
        message = f"The archived WAL is left alone: {wal.blocked}."
        yield Finding("wal.kept", "warning", message, "pgrescue retention")
    for group in asked.work.wal:
        if not asked.facts.writable.get(group.directory, False):
            yield Finding(
                "wal.privileges",
                "blocker",
                f"Nothing can be renamed in {group.directory} by {asked.facts.host.account.name}.",
                "run it as root, or leave the WAL alone: --keep-wal",
            )


def policy(asked: Asked) -> Iterator[Finding]:
    """Named backups that the policy would keep, and what goes with them."""
    if asked.request.named:
        for item in asked.advice.removable:
            if item.against and not asked.request.policy.keeps_everything:
                message = f"The policy keeps {item.id}: {', '.join(item.against)}."
                yield Finding("policy.against", "warning", message)
            if item.lost:
                message = f"Without {item.id} this cannot be recovered: {lost_text(item)}."
                yield Finding("window.lost", "warning", message)


def what_stays(asked: Asked) -> Iterator[Finding]:
    """Gaps behind the backups that stay."""
    for kept in asked.advice.kept:
        if kept.gap is not None:
            message = f"{kept.id} stays, but recovery from it does not go on: {kept.gap}."
            yield Finding("archive.gap", "warning", message, "pgrescue timeline")


def tablespaces(asked: Asked) -> Iterator[Finding]:
    """Places of tablespaces outside the directories for backups are not ours to take."""
    for backup in asked.removed:
        for path in asked.facts.places[backup.id].left:
            message = f"A tablespace of {backup.id} is linked to {path}, which is left alone."
            yield Finding("tablespace.left", "warning", message)


CHECKS: tuple[Callable[[Asked], Iterator[Finding]], ...] = (
    recognized,
    foreign,
    last_full,
    proved,
    parents,
    place,
    in_use,
    archive,
    policy,
    what_stays,
    tablespaces,
)
