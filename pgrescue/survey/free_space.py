"""How much an account can still write on a filesystem: what is free, and what quotas leave."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pgrescue.plan.facts import FilesystemFacts
from pgrescue.postgres.account import Account
from pgrescue.survey.filesystem import existing_ancestor, mount_point_of
from pgrescue.survey.quota import quotas_of


@dataclass(frozen=True, slots=True)
class Free:
    """Room for one account's files."""

    bytes: int
    inodes: int | None
    """None where the filesystem makes inodes as they are needed."""
    quota: str = ""
    """Whose quota leaves less than is free; empty if none does."""


def free_at(path: Path, account: Account | None) -> Free:
    """The room where a path is, or where its nearest existing ancestor is.

    As for everybody but root: what a filesystem keeps for root, the server's account cannot use.
    Without an account no quota counts.
    """
    place = existing_ancestor(path)
    space = os.statvfs(place)
    free, files = space.f_bavail * space.f_frsize, space.f_favail if space.f_files else None
    by = []
    for quota in quotas_of(account, place) if account is not None else ():
        if quota.bytes is not None and quota.bytes < free:
            free = quota.bytes
            by.append(quota.whose)
        if quota.inodes is not None and (files is None or quota.inodes < files):
            files = quota.inodes
            by.append(quota.whose)
    return Free(free, files, " and ".join(dict.fromkeys(by)))


def filesystem_facts(path: Path, writer: Account | None) -> FilesystemFacts:
    """The filesystem of a path, and what is free on it for the account that will write there."""
    place = existing_ancestor(path)
    free = free_at(place, writer)
    return FilesystemFacts(
        path=str(path),
        mount_point=str(mount_point_of(place)),
        free_bytes=free.bytes,
        # A quota of a directory, as XFS has them, is a smaller filesystem to statvfs.
        device=f"{place.stat().st_dev}:{os.statvfs(place).f_blocks}",
        free_inodes=free.inodes,
        quota=free.quota,
        writer=writer,
    )
