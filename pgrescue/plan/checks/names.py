"""Checks of what is written down: names that can be given and read, commands without passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker, warning
from pgrescue.plan.layout import retired_name
from pgrescue.plan.model import Work
from pgrescue.plan.work import combined_tablespace, log_of
from pgrescue.postgres.secrets import holds_password, without_passwords

NAME_MAX = 255
"""Bytes that a name may have on Linux's file systems (`limits.h`)."""
PATH_MAX = 1023 - 100
"""PostgreSQL's own paths have 1023 bytes (`MAXPGPATH`); it makes longer ones of these."""


def refuse_line_breaks(data_directory: str) -> None:
    """Raise `Refused` for a data directory that PostgreSQL's own files cannot name."""
    if "\n" in data_directory or "\r" in data_directory:
        raise Refused(
            f"{data_directory!r} cannot be a data directory: its name has a line break.",
            "PostgreSQL keeps it on a line of postmaster.pid, and would read it wrongly.",
            next_steps=("rename the directory, or restore into another one: --into DIR",),
        )


def names_fit(context: Context) -> list[Finding]:
    """Every directory that is set aside or made has a name that can be given to it."""
    return names_of(context.work)


def names_of(work: Work) -> list[Finding]:
    """The same for what any plan makes."""
    for path in _made(work):
        longest = max((_bytes(part) for part in PurePath(path).parts), default=0)
        if longest > NAME_MAX:
            return blocker(
                "host.name",
                f"{path} cannot be made: a name has at most {NAME_MAX} bytes, this one {longest}.",
                f"give it a name that is {longest - NAME_MAX} bytes shorter",
            )
        if _bytes(path) > PATH_MAX:
            return blocker(
                "host.name",
                f"{path} is too long: a server's paths have at most 1023 bytes, with its files' "
                "names.",
                f"use a path that is {_bytes(path) - PATH_MAX} bytes shorter",
            )
    return []


def commands_without_passwords(context: Context) -> list[Finding]:
    """A configured command is kept word for word: what is secret in it does not belong there."""
    service = context.work.service
    commands = {
        "restore_command": context.facts.archive.restore_command,
        "notify": context.notify,
        "service.stop": service.stop,
        "service.start": service.start,
        "service.status": service.status,
    }
    return [
        finding
        for name, command in commands.items()
        if command is not None and holds_password(command)
        for finding in warning(
            "host.password",
            f"The configured {name} holds what looks like a password: "
            f"{without_passwords(command)}. The plan keeps it, word for word.",
            f"put it into a file that only {context.facts.cluster.owner.name} may read",
        )
    ]


def _bytes(name: str) -> int:
    return len(name.encode(errors="surrogateescape"))


def _made(work: Work) -> Iterator[str]:
    yield retired_name(work.tag, work.data_directory, contents_only=False)
    yield work.staging
    yield log_of(work)
    for move in work.moves:
        yield move.aside
        if not move.contents_only:
            yield retired_name(work.tag, move.path, contents_only=False)
    for item in work.tablespaces:
        yield combined_tablespace(work, item)
