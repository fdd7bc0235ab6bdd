"""The place: may it be written, is it free, is there room?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pgrescue.backup.checks.asked import Asked, size_text
from pgrescue.findings import Finding

_LITTLE_ROOM_LEFT = 0.1


def destination(asked: Asked) -> Iterator[Finding]:
    """There is a directory for backups, the account may write there, the name is free."""
    facts, code = asked.facts, "destination"
    root, place = facts.root, facts.destination
    if root.exists and not root.is_directory:
        yield Finding(code, "blocker", f"{root.path} is no directory.", "--destination DIR")
    elif facts.writable is False:
        fix = f"install -d -m 700 -o {facts.owner.name} {shlex.quote(root.path)}"
        reached = "write into" if root.exists else "reach"
        message = f"{facts.owner.name}, who takes the backup, may not {reached} {root.path}."
        yield Finding(code, "blocker", message, fix)
    elif place.exists:
        yield Finding(code, "blocker", f"{place.path} exists already.", "--name PATTERN")
    elif facts.partial.exists:
        yield Finding(
            code,
            "blocker",
            f"{facts.partial.path} is there: another backup of that name is being taken, or was "
            "interrupted.",
            "pgrescue runs; then pgrescue undo RUN removes it, or --name PATTERN",
        )
    elif not root.exists:
        yield Finding(code, "ok", f"{root.path} does not exist; it is made.")
    if not facts.is_catalogued:
        message = f"The catalog does not look into {root.path}: it will not show this backup."
        fix = f'backups = ["{root.path}"] in the configuration'
        yield Finding("destination.catalog", "warning", message, fix)
    for path in facts.mapped.values():
        if path.exists and not (path.is_directory and path.is_empty):
            message = f"{path.path}, where a tablespace is to go, is no empty directory."
            yield Finding("destination.tablespace", "blocker", message, "--tablespace OLD=NEW")
    if facts.source.is_local and _inside_data(asked):
        yield Finding(
            "destination.inside",
            "blocker",
            f"{root.path} is inside the data directory: the backup would contain itself.",
            "--destination DIR, best on another disk",
        )


def _inside_data(asked: Asked) -> bool:
    data = asked.server.settings.get("data_directory", "")
    return bool(data) and f"{asked.facts.root.real_path}/".startswith(f"{data.rstrip('/')}/")


def space(asked: Asked) -> Iterator[Finding]:
    """The estimate fits, with room to spare."""
    filesystem, estimate = asked.facts.filesystem, asked.estimate
    needed, free = estimate.disk_bytes, filesystem.free_bytes
    by = f" (by the quota of {filesystem.quota})" if filesystem.quota else ""
    basis = "as earlier backups" if estimate.from_past else "as is usual"
    message = (
        f"{size_text(needed)} are needed in {filesystem.mount_point} (database "
        f"{size_text(estimate.read_bytes)}, kept {basis} in {estimate.ratio:.0%} of that), "
        f"{size_text(free)} are free{by}."
    )
    if needed > free:
        fix = "make room, choose another --destination, or a stronger --compress"
        yield Finding("destination.space", "blocker", message, fix)
    elif free - needed < _LITTLE_ROOM_LEFT * needed:
        yield Finding("destination.space", "warning", message, f"df -h {filesystem.mount_point}")
    else:
        yield Finding("destination.space", "ok", message)
    if asked.server.database_bytes is None:
        yield Finding(
            "server.size",
            "warning",
            f"The role {asked.server.role} may not see how big the databases are: the space needed "
            "is not known.",
            f'grant pg_monitor to "{asked.server.role}"',
        )


def other_runs(asked: Asked) -> Iterator[Finding]:
    """A restore of this cluster would stop the server in the middle of the backup."""
    for run in asked.facts.unfinished:
        message = f"The run {run.run} on this cluster has not ended: {run.state}."
        yield Finding("run.unfinished", "warning", message, f"pgrescue status {run.run}")
