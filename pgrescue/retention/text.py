"""Advice and the plan of a removal, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from humanize import naturalsize

from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.plan.sealed_text import sealed_text, wrapped
from pgrescue.printable import printable
from pgrescue.retention.model import Advice, KeptBackup, NotCounted, RemovableBackup, WalCut
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.retention.words import lost_text, number_of


def render_advice(advice: Advice) -> str:
    """The whole advice as plain text."""
    lines = _wrapped("Policy: ", policy_text(advice.policy) + _zone_text(advice))
    lines += [line for note in advice.notes for line in _wrapped("Note: ", note)]
    lines += ["", f"Kept ({len(advice.kept)})"]
    for kept in advice.kept:
        lines += _kept_lines(kept)
    lines += ["", f"Could be removed ({len(advice.removable)})"]
    for item in advice.removable:
        lines += _removable_lines(item)
    if advice.not_counted:
        lines += ["", f"Not counted and left alone ({len(advice.not_counted)})"]
        for odd in advice.not_counted:
            lines += _odd_lines(odd)
    lines += ["", *_wal_lines(advice), "", *_closing(advice)]
    return "\n".join(lines) + "\n"


def _zone_text(advice: Advice) -> str:
    """In which zone weeks and months begin, where that matters."""
    by_calendar = advice.policy.weekly is not None or advice.policy.monthly is not None
    return f" (in {advice.zone or 'the time zone of this system'})" if by_calendar else ""


def policy_text(policy: RetentionPolicy) -> str:
    """The rules in words."""
    rules = (
        (policy.count, "full backup", "the newest {} with all that builds upon them"),
        (policy.days, "day", "the last {}"),
        (policy.weekly, "week", "a full backup of each of {}"),
        (policy.monthly, "month", "a full backup of each of {}"),
    )
    said = [words.format(number_of(n, noun)) for n, noun, words in rules if n is not None]
    return ", ".join(said) or "none; everything is kept"


def render_plan(plan: PrunePlan) -> str:
    """The whole plan as plain text."""
    return sealed_text(plan, summary(plan))


def summary(plan: PrunePlan) -> str:
    """The plan in a few lines: what goes, what goes with it, what stays."""
    way_back = (
        "NO: it is deleted at once"
        if plan.work.delete
        else "yes: it is set aside; pgrescue undo puts it back, until pgrescue discard deletes it"
    )
    why = "named" if plan.named else f"not kept by: {policy_text(plan.policy)}"
    lines = [
        f"{'Plan':<14} {plan.id}",
        f"{'Cluster':<14} {printable(plan.identity)}",
        *_wrapped(f"{'Removed':<15}", f"{number_of(len(plan.removed), 'backup')}, {why}"),
    ]
    for item in plan.removed:
        lines += _removable_lines(item)
    for cut in plan.cuts:
        lines += _wrapped(f"{'WAL':<15}", _cut_text(cut))
    staying = ", ".join(plan.kept) or "nothing"
    lines += _wrapped(f"{'Stays':<15}", staying)
    lines += [
        f"{'Frees':<14} {_size(plan.frees_bytes)}{'' if plan.work.delete else ', once discarded'}",
        f"{'Can be undone':<14} {way_back}",
    ]
    return "\n".join(lines)


def _kept_lines(kept: KeptBackup) -> Iterator[str]:
    yield _head(kept.id, kept.kind, kept.time, kept.size_bytes)
    yield from _wrapped("    because  ", ", ".join(kept.reasons))
    if kept.gap is not None:
        yield from _wrapped("    GAP      ", f"behind it: {kept.gap}")


def _removable_lines(item: RemovableBackup) -> Iterator[str]:
    yield _head(item.id, item.kind, item.time, item.size_bytes)
    yield from _wrapped("    takes    ", lost_text(item))


def _odd_lines(odd: NotCounted) -> Iterator[str]:
    yield f"  {printable(odd.id)}  {_size(odd.size_bytes)}"
    yield from _wrapped("    because  ", odd.why)
    yield from _wrapped("    path     ", odd.path)
    if odd.holds_segments:
        yield from _wrapped(
            "    holds    ",
            f"{odd.holds_segments} WAL segments are kept for its sake alone; if it is worth "
            f"nothing: pgrescue prune {odd.id}",
        )


def _wal_lines(advice: Advice) -> Iterator[str]:
    wal = advice.wal
    if wal.archive is None or wal.blocked is not None:
        yield from _wrapped("WAL: ", f"nothing is proposed: {wal.blocked}.")
        return
    yield f"WAL that no backup that stays needs, in {printable(wal.archive)}"
    for cut in wal.cuts:
        yield from _wrapped("  ", _cut_text(cut))
    if not wal.cuts:
        yield "  none"


def _cut_text(cut: WalCut) -> str:
    return (
        f"timeline {cut.timeline}: {cut.files} files, {_size(cut.size_bytes)}, {cut.first} to "
        f"{cut.last}; kept from {cut.below} on"
    )


def _closing(advice: Advice) -> Iterator[str]:
    if not advice.removable and not advice.wal.files:
        yield "Nothing is to be removed."
    else:
        yield f"Removing all of it would free {_size(advice.frees_bytes)}."
        yield "Nothing is removed by itself; see what would be done: pgrescue prune --dry-run"


def _head(name: str, kind: str | None, time: datetime | None, size: int) -> str:
    when = "-" if time is None else f"{time:%Y-%m-%d %H:%M:%S}Z"
    return f"  {printable(name)}  {kind or '-'}  {when}  {_size(size)}"


def _size(size: int) -> str:
    return naturalsize(size, binary=True)


def _wrapped(head: str, text: str) -> list[str]:
    return wrapped(head, printable(text))
