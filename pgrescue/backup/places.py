"""Where the parts of a backup go."""

from __future__ import annotations

from collections.abc import Iterable

from pgrescue.backup.facts import ServerFacts
from pgrescue.config.backup_request import BackupRequest

BESIDE = ".tablespaces"
"""What follows a plain backup's name in that of the directory with its tablespaces."""


def partial_path(destination: str) -> str:
    """The hidden directory in which a backup is until it is whole."""
    root, _, name = destination.rpartition("/")
    return f"{root}/.{name}.partial"


def tablespace_places(
    destination: str, request: BackupRequest, server: ServerFacts
) -> dict[str, str]:
    """Where a plain backup puts each tablespace, by its location; a tar backup has archives."""
    if request.format != "plain":
        return {}
    beside = f"{destination}{BESIDE}"
    return {
        item.location: request.tablespaces.get(item.location, f"{beside}/{item.name}")
        for item in server.tablespaces
    }


def tablespace_directories(destination: str, places: Iterable[str]) -> list[str]:
    """All directories that a backup makes for tablespaces, each behind the one it is in."""
    places = list(places)
    beside = f"{destination}{BESIDE}"
    return [beside, *places] if any(place.startswith(f"{beside}/") for place in places) else places
