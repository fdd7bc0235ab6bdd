"""Checks of every place that is moved, emptied or filled: that it is the cluster's, and its alone.

They are made when planning, and again under the run's lock before anything is moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import blocker
from pgrescue.plan.facts import Links, PathFacts
from pgrescue.plan.model import Move
from pgrescue.plan.paths import is_inside
from pgrescue.plan.surroundings import Neighbour, Surroundings

_SHARED = frozenset(
    {"/", "/home", "/mnt", "/media", "/opt", "/root", "/srv", "/tmp", "/usr/local"}
    | {"/var", "/var/backups", "/var/cache", "/var/lib", "/var/lock", "/var/log", "/var/mail"}
    | {"/var/opt", "/var/spool", "/var/tmp", "/dev/shm", "/run/media"}
)
"""Directories that hold those of many."""
_OF_THE_SYSTEM = frozenset(
    {"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32"}
    | {"/proc", "/run", "/sbin", "/sys", "/usr"}
)
"""Directories that are the system's with everything in them."""
_BUT_NOT = ("/dev/shm", "/run/media", "/usr/local")
"""Directories in these where people keep things of their own."""
_LINKS_FIX = (
    "see who has put it there: ls -l {link}; once the link leads where it should, make a new plan"
)


@dataclass(frozen=True, slots=True)
class Places:
    """What a run would move or fill, and what is around it."""

    cluster: PathFacts
    """The data directory whose links are followed."""
    identifier: str | None
    """The system identifier that the WAL of this cluster has, if that is known."""
    links: Links
    moves: tuple[Move, ...]
    data_directory: str
    """Where the new data goes."""
    tablespaces: tuple[str, ...]
    """Where the new tablespaces go."""
    surroundings: Surroundings
    in_place: bool

    @property
    def touched(self) -> tuple[str, ...]:
        """Every place that is moved or filled, each once."""
        wal = self.links.wal_directory if self.in_place else None
        linked = (wal.real_path,) if wal is not None else ()
        moved = (move.path for move in self.moves)
        return tuple(dict.fromkeys((self.data_directory, *moved, *linked, *self.tablespaces)))


def blockers_of(places: Places) -> tuple[Finding, ...]:
    """Everything that forbids to move or fill these places."""
    return tuple(finding for check in _CHECKS for finding in check(places))


def protected(path: str, homes: dict[str, str]) -> str | None:
    """Why nothing may be moved away or restored at a path, whatever is there; None if it may."""
    if path in _SHARED:
        return f"{path} is a directory of the system, not of a cluster."
    system = any(is_inside(path, place) for place in _OF_THE_SYSTEM)
    if system and not any(is_inside(path, place) for place in _BUT_NOT):
        return f"{path} is a directory of the system, not of a cluster."
    if path in homes:
        return f"{path} is the home directory of {homes[path]}."
    inside = next((home for home in sorted(homes) if is_inside(home, path)), None)
    if inside is not None:
        return f"{path} holds {inside}, the home directory of {homes[inside]}."
    return None


def not_a_shared_path(places: Places) -> Iterator[Finding]:
    """No place is a home or a directory of the system."""
    cleared = {places.data_directory, *(move.path for move in places.moves)}
    for path in places.touched:
        homes = places.surroundings.homes
        if path not in cleared:  # a tablespace may lie beside a home, but not be one
            homes = {home: name for home, name in homes.items() if home == path}
        reason = protected(path, homes)
        if reason is None and path == places.data_directory and _is_too_close(places):
            reason = f"{path} is too close to the root of the file system."
        if reason is None:
            continue
        yield from blocker("cluster.path", reason, _elsewhere(places, path))


def _is_too_close(places: Places) -> bool:
    """Whether it lies directly below `/` and is neither a disk's root nor a cluster's already."""
    shown = places.in_place and (places.identifier is not None or places.cluster.is_mount_point)
    return len(PurePath(places.data_directory).parts) < 3 and not shown


def _elsewhere(places: Places, path: str) -> str:
    """What to do about a place that must not be used."""
    if path in places.tablespaces:
        return "give the tablespace another place: --tablespace OLD=NEW"
    if path != places.data_directory:
        home = places.cluster.path
        return f"see what leads there: ls -l {home}/pg_wal {home}/pg_tblspc"
    if places.in_place:
        return "check data_directory in the configuration"
    return "choose a directory that does not exist yet: --into DIR"


def links_lead_to_what_they_should(places: Places) -> Iterator[Finding]:
    """What `pg_wal` and `pg_tblspc` lead to is WAL, and tablespaces: anybody may plant a link."""
    if not places.in_place:
        return
    moved = {move.path for move in places.moves}
    for tablespace in places.links.tablespaces:
        version = tablespace.version_directory
        problem = _no_version_directory(version, is_link=tablespace.is_link)
        if version.real_path in moved and problem is not None:
            at = f"{tablespace.path}/{PurePath(version.path).name}"
            yield from blocker(
                "cluster.link",
                f"Tablespace {tablespace.oid}: {at} {problem}. It would be set aside as if it "
                "were this cluster's.",
                _LINKS_FIX.format(link=at),
            )
    yield from _wal_link(places)


def _no_version_directory(version: PathFacts, *, is_link: bool) -> str | None:
    if is_link:
        return f"is a link to {version.real_path}; PostgreSQL makes directories there"
    if not version.is_directory:
        return "is no directory"
    if version.is_mount_point:
        return "is a mount point, which cannot be renamed"
    return None if version.parent_writable else "cannot be renamed: its directory is not writable"


def _wal_link(places: Places) -> Iterator[Finding]:
    wal, links = places.links.wal_directory, places.links
    if wal is None:
        return
    home, problem = places.cluster.real_path, None
    if wal.exists and not wal.is_directory:
        problem = "which is no directory"
    elif is_inside(wal.real_path, home) or is_inside(home, wal.real_path):
        problem = f"and neither of that and {home} may lie in the other"
    elif links.wal_stranger is not None:
        problem = f"which is no directory of WAL: {links.wal_stranger}"
    elif None not in (links.wal_identifier, places.identifier) and (
        links.wal_identifier != places.identifier
    ):
        problem = (
            f"and the WAL there is another cluster's: its system identifier is "
            f"{links.wal_identifier}, this cluster's {places.identifier}"
        )
    if problem is not None:
        yield from blocker(
            "cluster.link",
            f"{home}/pg_wal is a link to {wal.real_path}, {problem}. It would be set aside as if "
            "it were this cluster's.",
            _LINKS_FIX.format(link=f"{home}/pg_wal"),
        )


def not_used_elsewhere(places: Places) -> Iterator[Finding]:
    """No place belongs to another cluster, running or not, or lies in its data directory."""
    moved = tuple(dict.fromkeys(move.path for move in places.moves))
    for neighbour in places.surroundings.neighbours:
        inside = [
            path
            for path in places.touched
            if any(is_inside(path, own) for own in (neighbour.directory, *neighbour.places))
        ]
        for path in inside:
            yield _shared(places, path, neighbour)
        around = [path for path in moved if path not in inside]
        for path in around:
            if is_inside(neighbour.directory, path):
                yield from blocker(
                    "cluster.shared",
                    f"{neighbour.directory} lies in {path}, which would be set aside: it is "
                    f"{_words(neighbour)}.",
                    "move it out of there first",
                )
            elif any(is_inside(own, path) for own in neighbour.places):
                yield _shared(places, path, neighbour)


def _words(neighbour: Neighbour) -> str:
    if neighbour.is_running:
        return "the data directory of a server that runs"
    return "the data directory of another cluster, or a plain backup"


def _shared(places: Places, path: str, neighbour: Neighbour) -> Finding:
    code = "cluster.shared"
    if is_inside(path, neighbour.directory):
        message = f"{path} is in {neighbour.directory}, {_words(neighbour)}."
        return Finding(code, "blocker", message, _elsewhere(places, path))
    if path not in {move.path for move in places.moves}:
        message = f"{path} is in what the cluster in {neighbour.directory} uses."
        return Finding(code, "blocker", message, _elsewhere(places, path))
    who = "the server that runs in" if neighbour.is_running else "the cluster in"
    return Finding(
        code,
        "blocker",
        f"{path} would be set aside, but {who} {neighbour.directory} uses it, too: its data would "
        "be gone.",
        "if this data directory is a copy with links into another cluster: take the links out of "
        "pg_tblspc (or pg_wal) by hand, or move the copy away",
    )


def nothing_kept_inside(places: Places) -> Iterator[Finding]:
    """No backup, no archive and no journal is set aside, deleted or written into."""
    cleared = [move.path for move in places.moves]
    cleared += [places.data_directory] if places.in_place else []
    around = places.surroundings
    for path, what in {**around.kept, **around.backups}.items():
        place = next((place for place in cleared if is_inside(path, place)), None)
        if place is not None:
            yield from blocker(
                "backup.inside_data",
                f"{what} is stored in {place}, which this restore would set aside.",
                f"move {path} somewhere else first",
            )
            continue
        filled = next((place for place in places.touched if is_inside(place, path)), None)
        if filled is None:
            continue
        if path in around.backups:
            lost = "set aside" if filled in cleared else "written into"
            yield from blocker(
                "backup.touched",
                f"{what} would be {lost}: {filled} is in {path}.",
                _elsewhere(places, filled),
            )
        elif not places.in_place:
            yield from blocker(
                "clone.place",
                f"{filled} is in {path}, which is kept for: {what[0].lower()}{what[1:]}.",
                _elsewhere(places, filled),
            )


def no_mounts_inside(places: Places) -> Iterator[Finding]:
    """Nothing is mounted inside what is set aside: it would go along, and come back at a boot."""
    if not places.in_place:
        return
    for mount in places.surroundings.mounts:
        yield from blocker(
            "cluster.mount",
            f"Something is mounted at {mount}, inside what would be set aside: it would go along "
            "with the old data, and at the next boot be mounted over the new.",
            f"stop the server, copy what is in {mount} beside it, umount it, and put the copy in "
            "its place; or restore into another directory: --into DIR",
        )


_CHECKS: tuple[Callable[[Places], Iterator[Finding]], ...] = (
    not_a_shared_path,
    links_lead_to_what_they_should,
    not_used_elsewhere,
    nothing_kept_inside,
    no_mounts_inside,
)
