"""Is the WAL behind the backup kept?"""

from __future__ import annotations

from collections.abc import Iterator

from pgrescue.backup.checks.asked import Asked, ago
from pgrescue.backup.facts import ServerFacts
from pgrescue.findings import Finding


def archiving(asked: Asked) -> Iterator[Finding]:
    """Without an archive a backup leads back to its own end only."""
    server, code = asked.server, "server.archiving"
    mode = server.settings.get("archive_mode", "off")
    archiver, now = server.archiver, asked.facts.host.now
    if asked.request.wal_method == "none" and asked.facts.wal_archive is None:
        yield Finding(
            code,
            "blocker",
            "The backup is to carry no WAL, and no archive is configured that has it: it could "
            "never be restored.",
            "--wal-method stream, or wal_archive in the configuration",
        )
        return
    if mode == "off" or (server.in_recovery and mode != "always"):
        if asked.request.wal_method == "none":
            yield Finding(
                code,
                "blocker",
                "This server archives no WAL, and the backup is to carry none either: it could "
                "never be restored.",
                "--wal-method stream",
            )
            return
        why = "archive_mode is off" if mode == "off" else "it is a standby"
        fix = "pgrescue init --archive" if mode == "off" else "see that the primary archives"
        message = f"This server archives no WAL ({why}): what comes after the backup is not kept."
        yield Finding(code, "ok" if server.in_recovery else "warning", message, fix)
    elif not _has_command(server):
        fix = "pgrescue init --archive proposes an archive_command"
        yield Finding(code, "warning", "archive_mode is on, but nothing archives.", fix)
    elif archiver is not None and archiver.is_failing:
        yield Finding(
            code,
            "warning",
            f"Archiving fails: {archiver.last_failed} {ago(archiver.last_failed_at, now)}, "
            f"{archiver.failed_count} times in all. WAL piles up on the server meanwhile.",
            "look for 'archive command failed' in the server's log; pgrescue doctor",
        )
    elif archiver is not None and archiver.last_archived is not None:
        when = ago(archiver.last_archived_at, now)
        message = f"WAL is archived, last {archiver.last_archived} {when}."
        yield Finding(code, "ok", message)
    else:
        fix = "psql -c 'select pg_switch_wal()', then look whether it arrives"
        yield Finding(code, "warning", "The server has archived nothing yet.", fix)


def _has_command(server: ServerFacts) -> bool:
    settings = server.settings
    command = settings.get("archive_command", "")
    return command not in ("", "(disabled)") or bool(settings.get("archive_library", ""))
