"""A backup in a row and in full."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from pgrescue.catalog.chain_list import Link, chain_of
from pgrescue.catalog.model import Backup
from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.widgets.cells import state_cell
from pgrescue.tui.words import about, moment, short_moment, short_size, size

AUTO = "auto"
AUTO_TEXT = (
    "The plan takes the newest usable backup that ends before the target: the one from which "
    "the least WAL has to be replayed. It shows which one that is before anything is done."
)
_SHORT = {"gzip": "gz", "zstd": "zst", "lz4": "lz4", "none": ""}


def backup_kind(backup: Backup) -> str:
    """Kind, format and compression in a dozen columns."""
    kind = {"full": "full", "incremental": "incr"}.get(backup.kind or "", "?")
    packed = _SHORT.get(backup.compression or "", "")
    return " ".join(part for part in (kind, backup.format or "", packed) if part)


def backup_cells(link: Link, glyphs: Glyphs) -> list[Text]:
    """One row of the catalog; what builds upon another backup hangs below it."""
    backup = link.backup
    style = "" if backup.usable else "dim"
    hook = f"{glyphs.last if link.is_last else glyphs.branch} " if link.is_under else ""
    return [
        state_cell("yes" if backup.usable else "no", glyphs),
        Text(f"{hook}{backup.id}", style),
        Text(backup_kind(backup), style),
        state_cell("ok", glyphs) if backup.verified_at else Text("-", style),
        Text(short_moment(backup.started_at), style),
        Text(short_size(backup.size_bytes), style),
        Text(window_end(backup, brief=True), style),
    ]


def window_end(backup: Backup, *, brief: bool) -> str:
    """Until when, or up to which position, this backup can be recovered."""
    window = backup.window
    if window is None:
        return "-"
    if window.to_time is not None:
        return short_moment(window.to_time) if brief else moment(window.to_time)
    return str(window.to_lsn) if window.to_lsn is not None else "-"


def matches(backup: Backup, wanted: str) -> bool:
    """Whether a backup's row contains what was typed."""
    words = (backup.id, backup.label or "", backup_kind(backup), moment(backup.started_at))
    row = " ".join((*words, "usable" if backup.usable else "unusable")).lower()
    return all(part in row for part in wanted.lower().split())


def window_text(backup: Backup) -> str:
    """The window that this backup opens, in words."""
    window = backup.window
    if window is None:
        return "none: WAL that it needs is missing"
    begin = f"{window.from_lsn or '-'} ({moment(window.from_time)})"
    end = f"{window.to_lsn or '-'}" + (f" ({moment(window.to_time)})" if window.to_time else "")
    return f"from {begin} to {end}, timeline {window.timeline}"


def taken_text(backup: Backup) -> str:
    """When it was taken, how long that took and how fast it went."""
    text = f"{moment(backup.started_at)} to {moment(backup.stopped_at)}"
    if (seconds := backup.duration_seconds) is None:
        return text
    text += f", in {about(seconds)}"
    # What an incremental one restores was for the most part not read for it.
    if backup.kind == "full" and backup.restore_bytes and seconds >= 1:
        text += f", {size(round(backup.restore_bytes / seconds))}/s"
    return text


def size_text(backup: Backup) -> str:
    """How big it is, and to what part that was compressed."""
    text = f"{size(backup.size_bytes)}, restored {size(backup.restore_bytes)}"
    return text if backup.ratio is None else f"{text}: kept in {backup.ratio:.0%} of that"


def backup_text(backup: Backup, backups: Sequence[Backup]) -> str:
    """Everything about a backup among the others; problems first."""
    lines = [
        f"{'PROBLEM' if problem.fatal else 'note':<10} {problem.message}  [{problem.code}]"
        for problem in backup.problems
    ]
    rows = [
        ("path", backup.path),
        ("label", backup.label or "-"),
        ("kind", f"{backup.kind}, {backup.format}, compression {backup.compression}"),
        ("upon", backup.parent),
        ("chain", _chain_text(backup, backups)),
        ("taken", taken_text(backup)),
        ("WAL", f"{backup.start_lsn} to {backup.stop_lsn}, timeline {backup.timeline}"),
        ("window", window_text(backup)),
        ("size", size_text(backup)),
        ("server", f"PostgreSQL {backup.server_version}, system {backup.system_identifier}"),
        ("manifest", "yes" if backup.has_manifest else "none: files cannot be checked one by one"),
        ("verified", moment(backup.verified_at) if backup.verified_at else "not yet: v does it"),
    ]
    rows += [(f"tblspc {t.oid}", f"{t.path} ({size(t.size_bytes)})") for t in backup.tablespaces]
    lines += [f"{name:<10} {value}" for name, value in rows if value is not None]
    return "\n".join(lines)


def _chain_text(backup: Backup, backups: Sequence[Backup]) -> str | None:
    """What must be kept for it, and what would be lost with it."""
    others = len(chain_of(backup, backups)) - 1
    upon_it = sum(backup in chain_of(other, backups) for other in backups) - 1
    parts = [f"needs {others} before it"] if others else []
    parts += [f"is needed by {upon_it} after it"] if upon_it > 0 else []
    return "; ".join(parts) or None
