"""What a policy keeps, and why, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pgrescue.catalog.model import Backup
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.plan.choose import is_on_branch
from pgrescue.retention.counted import Family, counted_backups, moment_of
from pgrescue.retention.facts import RetentionFacts

Reasons = dict[str, list[str]]
"""By a backup's id: everything that speaks for keeping it."""


def keep_reasons(facts: RetentionFacts, policy: RetentionPolicy) -> Reasons:
    """Every backup that stays under a policy, with at least one reason.

    What is not counted is not in here: it stays, but speaks for nothing but its own parents.
    """
    counted = counted_backups(facts)
    fulls = [backup for backup in counted if backup.kind == "full"]
    family = Family(facts.backups)
    reasons: Reasons = {}
    if policy.keeps_everything:
        _add(reasons, counted, "no policy: everything is kept")
    elif not fulls:
        _add(reasons, counted, "there is no usable full backup: everything is kept")
    else:
        _add(reasons, fulls[-1:], "the newest usable full backup")
        _keep_newest(reasons, fulls, family, policy.count)
        _keep_days(reasons, facts, counted, policy.days)
        _keep_periods(reasons, fulls, policy.weekly, _week_in(facts.zone))
        _keep_periods(reasons, fulls, policy.monthly, _month_in(facts.zone))
    for backup in counted:
        if backup.id in facts.immovable:
            _add(reasons, [backup], facts.immovable[backup.id])
    _keep_relatives(reasons, facts, counted, family)
    return reasons


def recovery_lines(facts: RetentionFacts, counted: Sequence[Backup], since: datetime) -> list[int]:
    """The timelines along which there is, or may be, a moment since then to recover to."""
    lines = {
        window.timeline
        for window in facts.windows
        if window.to_time is None or window.to_time >= since
    }
    # Where nothing is written there is no commit, and yet the last days are wanted.
    lines |= {backup.timeline for backup in counted[-1:] if backup.timeline is not None}
    lines |= {max((window.timeline for window in facts.windows), default=0)}
    lines |= {facts.current_timeline or 0}
    return sorted(lines - {0})


def _keep_newest(
    reasons: Reasons, fulls: Sequence[Backup], family: Family, count: int | None
) -> None:
    if count is None:
        return
    for backup in _distinct(reversed(fulls), family)[:count]:
        _add(reasons, [backup], f"newest {count}")
        _add(reasons, family.descendants(backup), f"newest {count}, upon {backup.id}")


def _distinct(backups: Iterable[Backup], family: Family) -> list[Backup]:
    """One of each group of copies: a copy is no further backup."""
    chosen: dict[str, Backup] = {}
    for backup in backups:
        if not any(copy.id in chosen for copy in family.copies(backup)):
            chosen[backup.id] = backup
    return list(chosen.values())


def _keep_days(
    reasons: Reasons, facts: RetentionFacts, counted: Sequence[Backup], days: int | None
) -> None:
    if days is None:
        return
    begin = facts.now - timedelta(days=days)
    covers = f"covers the last {days} days"
    _add(reasons, [b for b in counted if (moment_of(b) or begin) >= begin], covers)
    histories = facts.archive.histories if facts.archive else {}
    for line in recovery_lines(facts, counted, begin):
        for backup in reversed(counted):
            if (moment_of(backup) or begin) < begin and is_on_branch(backup, line, histories):
                _add(reasons, [backup], covers)
                if backup.stopped_at is not None:
                    break  # one whose end is not known may end too late to be the first


def _keep_periods(
    reasons: Reasons,
    fulls: Sequence[Backup],
    count: int | None,
    name_of: Callable[[datetime], tuple[str, tuple[int, int]]],
) -> None:
    """The newest backup of each of the newest periods that have one."""
    if count is None:
        return
    newest: dict[tuple[int, int], tuple[str, Backup]] = {}
    for backup in fulls:
        moment = moment_of(backup)
        assert moment is not None
        name, period = name_of(moment)
        newest[period] = (name, backup)
    for period in sorted(newest)[-count:]:
        name, backup = newest[period]
        _add(reasons, [backup], name)


def _week_in(zone: str | None) -> Callable[[datetime], tuple[str, tuple[int, int]]]:
    def week(moment: datetime) -> tuple[str, tuple[int, int]]:
        year, number, _ = _local(moment, zone).isocalendar()
        return f"week {year}-W{number:02}", (year, number)

    return week


def _month_in(zone: str | None) -> Callable[[datetime], tuple[str, tuple[int, int]]]:
    def month(moment: datetime) -> tuple[str, tuple[int, int]]:
        local = _local(moment, zone)
        return f"month {local:%Y-%m}", (local.year, local.month)

    return month


def _local(moment: datetime, zone: str | None) -> datetime:
    return moment.astimezone(None if zone is None else ZoneInfo(zone))


def _keep_relatives(
    reasons: Reasons, facts: RetentionFacts, counted: Sequence[Backup], family: Family
) -> None:
    """Parents of all that stays, and copies of all that is kept, until nothing is added."""
    counts = {backup.id for backup in counted}
    waiting = [backup for backup in facts.backups if backup.id in reasons or backup.id not in counts]
    while waiting:
        backup = waiting.pop()
        found: list[tuple[Backup, str]] = []
        if (parent := family.parent(backup)) is not None:
            unsure = "" if backup.id in counts else ", which is left alone though not usable"
            found.append((parent, f"needed by the incremental {backup.id}{unsure}"))
        if backup.id in reasons:
            found += [(copy, f"a copy of {backup.id}") for copy in family.copies(backup)]
        for other, reason in found:
            if other.id in counts:
                if other.id not in reasons:
                    waiting.append(other)
                elif reason.startswith("a copy"):
                    continue
                _add(reasons, [other], reason)


def _add(reasons: Reasons, backups: Iterable[Backup], reason: str) -> None:
    for backup in backups:
        said = reasons.setdefault(backup.id, [])
        if reason not in said:
            said.append(reason)
