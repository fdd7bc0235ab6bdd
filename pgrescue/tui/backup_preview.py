"""The pg_basebackup command as far as the choices determine it, before the server is asked."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pgrescue.backup.build import USUAL_NAME, checked_label, name_of
from pgrescue.backup.command import basebackup_command
from pgrescue.backup.places import BESIDE, partial_path
from pgrescue.catalog.discover import find_backup
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import NEWEST, BackupRequest
from pgrescue.postgres.manifest import NAME as MANIFEST
from pgrescue.tui.backup_form import in_field
from pgrescue.tui.view import BackupSetting

ASSUMED_MAJOR = 18
"""What the options are written for where nothing tells a version."""


def preview(
    request: BackupRequest,
    setting: BackupSetting,
    cluster: str,
    backups: Sequence[Backup],
    locations: Sequence[str],
) -> str:
    """The command for a shell; `<what the server will say>` is quoted, and harmless there.

    `locations` are those of tablespaces that the server is known to have.
    Raises `WrongField` for a name, label or parent that cannot be.
    """
    with in_field("name"):
        name = name_of(request.name or USUAL_NAME, setting.host, request, cluster)
    with in_field("label"):
        label = checked_label(request.label or name)
    root = request.destination or setting.root or "<directory for backups>"
    destination = f"{root}/{name}"
    command = basebackup_command(
        request,
        program=setting.program,
        conninfo=request.source or setting.conninfo or "<the cluster's server>",
        directory=partial_path(destination),
        label=label,
        server_major=setting.major or ASSUMED_MAJOR,
        tablespaces=_places(request, destination, locations),
        parent_manifest=_parent_manifest(request, backups),
    )
    # Which of the two it is, the server's last checkpoint decides.
    parts = ("--checkpoint=<fast or spread>" if p == "--checkpoint=auto" else p for p in command)
    user = ("runuser", "-u", setting.run_as, "--") if setting.run_as else ()
    return shlex.join((*user, *parts))


def _places(
    request: BackupRequest, destination: str, locations: Sequence[str]
) -> list[tuple[str, str]]:
    if request.format != "plain":
        return []
    beside = f"{destination}{BESIDE}/<its name>"
    usual = dict.fromkeys(locations, beside)
    return list({**usual, **request.tablespaces}.items())


def _parent_manifest(request: BackupRequest, backups: Sequence[Backup]) -> str | None:
    if request.parent is None:
        return None
    if request.parent == NEWEST:
        return f"<the newest backup>/{MANIFEST}"
    with in_field("parent"):
        return f"{find_backup(backups, request.parent).path}/{MANIFEST}"
