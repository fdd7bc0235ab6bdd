"""What has to change in a running server's settings for it to archive its WAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pgrescue.config.session import server_session
from pgrescue.errors import Refused
from pgrescue.postgres.account import Account
from pgrescue.postgres.archiving import MAX_EXPANDED, archive_command
from pgrescue.postgres.postmaster import Postmaster

_ASK = """
select name, setting, context from pg_catalog.pg_settings
where name in ('archive_mode', 'archive_command', 'archive_library', 'wal_level')
"""
_CUT_BEFORE = 16
_LONGEST_NAME = len("pg_wal/") + 40
"""What `%p` may become: a backup history file's name is the longest."""


@dataclass(frozen=True, slots=True)
class Change:
    """One setting, as it is and as it should be."""

    name: str
    before: str
    after: str
    needs_restart: bool


@dataclass(frozen=True, slots=True)
class ArchivingProposal:
    """The settings that are to be changed, none if the server archives as proposed already."""

    directory: str
    changes: tuple[Change, ...]
    replaces_command: bool
    """Whether another archive_command is in force now."""

    @property
    def needs_restart(self) -> bool:
        """Whether the changes take effect only once the server was started again."""
        return any(change.needs_restart for change in self.changes)

    def difference(self) -> str:
        """The changes as a difference of `postgresql.auto.conf`."""
        lines = ["--- settings in force", "+++ settings proposed"]
        for change in self.changes:
            mark = "   # needs a restart" if change.needs_restart else ""
            lines.append(f"-{change.name} = {_quoted(change.before)}")
            lines.append(f"+{change.name} = {_quoted(change.after)}{mark}")
        return "\n".join(lines)


def propose_archiving(
    server: Postmaster, account: Account, conninfo: str, directory: str, major: int
) -> ArchivingProposal:
    """Compare a running server with what archiving into a directory needs.

    Raises `CannotAskServer`, and `Refused` for a directory whose name is too long for the server.
    """
    command = archive_command(directory)
    if major < _CUT_BEFORE and len(command.encode()) + _LONGEST_NAME * 3 > MAX_EXPANDED:
        raise Refused(
            f"The path {directory} is too long.",
            f"PostgreSQL {major} cuts an archive_command at {MAX_EXPANDED} bytes.",
            next_steps=("archive into a directory with a shorter path, or a link to it",),
        )
    with server_session(server, account, conninfo) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(_ASK.encode()).fetchall()
    now = {name: setting or "" for name, setting, _ in rows}
    restarts = {name for name, _, context in rows if context == "postmaster"}
    wanted = {"archive_command": command}
    if now.get("wal_level") == "minimal":
        wanted["wal_level"] = "replica"
    if now.get("archive_mode") not in ("on", "always"):
        wanted["archive_mode"] = "on"
    if now.get("archive_library"):
        wanted["archive_library"] = ""
    return ArchivingProposal(
        directory=directory,
        changes=tuple(
            Change(name, now.get(name, ""), value, name in restarts)
            for name, value in sorted(wanted.items())
            if now.get(name, "") != value
        ),
        replaces_command=now.get("archive_command", "") not in ("", "(disabled)", command),
    )


def apply_archiving(
    server: Postmaster, account: Account, conninfo: str, proposal: ArchivingProposal
) -> None:
    """Write the changes with ALTER SYSTEM and reload; raises `CannotAskServer`."""
    from psycopg import sql

    with server_session(server, account, conninfo) as connection:
        for change in proposal.changes:
            statement = sql.SQL("alter system set {} = {}").format(
                sql.Identifier(change.name), sql.Literal(change.after)
            )
            connection.execute(statement)
        connection.execute("select pg_reload_conf()")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
