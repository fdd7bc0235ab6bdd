"""Incremental backups under the backups that they build upon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pgrescue.catalog.model import Backup


@dataclass(frozen=True, slots=True)
class Link:
    """A backup's place in a list of chains."""

    backup: Backup
    is_under: bool
    """Whether it stands under the backup that it builds upon."""
    is_last: bool
    """Whether nothing more of its chain comes below it."""


def in_chains(backups: Sequence[Backup]) -> list[Link]:
    """The backups in their order, but each incremental one right below its parent and what builds
    upon that; without its parent in the list it stands by itself.
    """
    shown = {backup.id for backup in backups}
    children: dict[str, list[Backup]] = {}
    roots = []
    for backup in backups:
        if backup.parent is not None and backup.parent in shown:
            children.setdefault(backup.parent, []).append(backup)
        else:
            roots.append(backup)
    links = []
    for root in roots:
        below = list(_below(root, children))
        links.append(Link(root, False, not below))
        links += [Link(backup, True, backup is below[-1]) for backup in below]
    return links


def chain_of(backup: Backup, backups: Sequence[Backup]) -> tuple[Backup, ...]:
    """What a restore of this backup needs, the full one first; a missing parent ends it early."""
    by_id = {other.id: other for other in backups}
    chain = [backup]
    while (parent := by_id.get(chain[0].parent or "")) is not None:
        chain.insert(0, parent)
    return tuple(chain)


def _below(parent: Backup, children: dict[str, list[Backup]]) -> Iterable[Backup]:
    for child in children.get(parent.id, []):
        yield child
        yield from _below(child, children)
