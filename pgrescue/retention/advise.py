"""From facts and a policy, or a choice of backups, to advice; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pgrescue.catalog.model import Backup
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.retention.counted import (
    Family,
    counted_backups,
    days_ago,
    moment_of,
    taken_at,
    why_not_counted,
)
from pgrescue.retention.facts import RetentionFacts
from pgrescue.retention.keepers import Reasons, keep_reasons
from pgrescue.retention.lines import leading_among, unproved_newest
from pgrescue.retention.losses import cover_of, lost_with
from pgrescue.retention.model import (
    Advice,
    KeptBackup,
    NotCounted,
    RemovableBackup,
    WalAdvice,
)
from pgrescue.retention.wal import held_alone, wal_advice
from pgrescue.retention.words import number_of


def advise(facts: RetentionFacts, policy: RetentionPolicy) -> Advice:
    """What the policy keeps and what may go; nothing may where there is no policy."""
    reasons = keep_reasons(facts, policy)
    removed = [b for b in counted_backups(facts) if b.id not in reasons]
    return _advice(facts, policy, reasons, removed)


def advise_on(facts: RetentionFacts, policy: RetentionPolicy, chosen: Sequence[Backup]) -> Advice:
    """What the removal of just these backups means, whatever the policy says about them."""
    return _advice(facts, policy, keep_reasons(facts, policy), chosen)


def _advice(
    facts: RetentionFacts, policy: RetentionPolicy, reasons: Reasons, removed: Sequence[Backup]
) -> Advice:
    gone = {backup.id for backup in removed}
    staying = [backup for backup in facts.backups if backup.id not in gone]
    kept = [b for b in reversed(counted_backups(facts)) if b.id not in gone]
    safe = [backup.id for backup in kept]
    asked = bool(removed) or not policy.keeps_everything
    return Advice(
        policy=policy,
        zone=facts.zone,
        now=facts.now,
        kept=tuple(_kept(facts, backup, reasons) for backup in kept),
        removable=tuple(
            _removable(facts, backup, safe, reasons)
            for backup in sorted(removed, key=lambda b: (moment_of(b) or facts.now, b.id))
        ),
        not_counted=tuple(
            _not_counted(facts, staying, backup, why)
            for backup in staying
            if (why := why_not_counted(facts, backup)) is not None
        ),
        wal=wal_advice(facts, staying) if asked else _no_wal(facts),
        notes=tuple(_notes(facts, policy)),
    )


def _no_wal(facts: RetentionFacts) -> WalAdvice:
    path = str(facts.archive.path) if facts.archive is not None else None
    return WalAdvice(path, (), (), "there is no policy")


def _kept(facts: RetentionFacts, backup: Backup, reasons: Reasons) -> KeptBackup:
    ends = [
        f"timeline {window.timeline}: {window.reason}"
        for window in facts.windows
        if window.backup == backup.id and window.ends != "end_of_archive"
    ]
    return KeptBackup(
        id=backup.id,
        path=backup.path,
        kind=backup.kind,
        time=moment_of(backup),
        size_bytes=backup.size_bytes,
        reasons=tuple(reasons.get(backup.id, ("not named",))),
        gap="; ".join(ends) or None,
    )


def _removable(
    facts: RetentionFacts, backup: Backup, staying: Sequence[str], reasons: Reasons
) -> RemovableBackup:
    lost = lost_with(backup, facts.windows, set(staying))
    return RemovableBackup(
        id=backup.id,
        path=backup.path,
        kind=backup.kind,
        time=moment_of(backup),
        size_bytes=backup.size_bytes,
        lost=lost,
        covered_by=None if lost else cover_of(backup.id, facts.windows, staying),
        against=tuple(reasons.get(backup.id, ())),
    )


def _not_counted(
    facts: RetentionFacts, staying: Sequence[Backup], backup: Backup, why: str
) -> NotCounted:
    held = held_alone(facts, staying, backup)
    return NotCounted(backup.id, backup.path, backup.size_bytes, why, held)


def _notes(facts: RetentionFacts, policy: RetentionPolicy) -> list[str]:
    """What the policy asks for and is not there."""
    counted = counted_backups(facts)
    fulls = Family(facts.backups).distinct(b for b in counted if b.kind == "full")
    notes = []
    unproved = unproved_newest(facts, leading_among(facts, fulls))
    if unproved is not None and not policy.keeps_everything:
        notes.append(
            f"{unproved.id}, the newest full backup, has not been verified: until it is, a policy "
            f"takes no backup away (pgrescue verify {unproved.id})."
        )
    if not fulls:
        notes.append("There is no usable full backup: nothing is proposed to be removed.")
    elif policy.count is not None and len(fulls) < policy.count:
        notes.append(
            f"There are {len(fulls)} usable full backups; the policy wants {policy.count}."
        )
    if fulls and policy.days is not None:
        last_days = f"The last {number_of(policy.days, 'day')}"
        begin = days_ago(facts.now, policy.days)
        if taken_at(counted[0]) > begin:
            first = f"{taken_at(counted[0]):%Y-%m-%d %H:%M:%S}Z"
            notes.append(
                f"{last_days} are not covered yet: the first usable backup ended at {first}."
            )
        holes = _holes_since(facts, begin, counted)
        notes += [f"{last_days} are not covered whole: {hole}." for hole in holes]
    return notes


def _holes_since(facts: RetentionFacts, begin: datetime, counted: Sequence[Backup]) -> list[str]:
    """Gaps in the archive behind which some moment since then cannot be recovered."""
    concerned = {backup.id for backup in counted if taken_at(backup) >= begin}
    concerned |= {backup.id for backup in [b for b in counted if taken_at(b) < begin][-1:]}
    holes = {
        (window.timeline, window.reason): window.backup
        for window in sorted(facts.windows, key=lambda window: window.from_lsn or 0)
        if window.backup in concerned and window.ends != "end_of_archive"
    }
    return [
        f"behind {backup}, on timeline {timeline}, {reason}"
        for (timeline, reason), backup in holes.items()
    ]
