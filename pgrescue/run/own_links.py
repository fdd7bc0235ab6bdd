"""The links of a data directory that is out of its place: they lead to what went along with it.

`pg_wal` and those in `pg_tblspc` lead to fixed places. From a copy they would lead to the WAL and
the tablespaces of the cluster that is there by now, and a server that somebody starts on the copy,
to look at it, would write into them. (One that replays the creation of a tablespace still would:
`create_tablespace_directories` in `src/backend/commands/tablespace.c` leads the link anew.)

Of a tablespace only the version directory moves (`PG_15_202209061`; manual, chapter "Database File
Layout"). The copy's link leads to that itself, and in there a link of its old name to itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from pgrescue.plan.model import OldLink
from pgrescue.plan.paths import is_inside
from pgrescue.run.durable import sync_directory

_TABLESPACES = "pg_tblspc"
_ITSELF = "."


def links_in(data: Path, moved: Mapping[str, str]) -> list[OldLink]:
    """The links of a data directory to something that has been moved from its place."""
    links = [OldLink("pg_wal", "", os.path.realpath(data / "pg_wal"))]
    tablespaces = data / _TABLESPACES
    for name in os.listdir(tablespaces) if _is_own(tablespaces) else ():
        if name.isdigit() and (tablespaces / name).is_symlink():
            location = os.path.realpath(tablespaces / name)
            versions = (f"{location}/{version}" for version in _versions(location, moved))
            links.append(OldLink(f"{_TABLESPACES}/{name}", "", next(versions, f"{location}/PG_")))
    # An earlier try may have let some lead to where that is by now.
    return [link for link in links if not _is_one_of(moved, link.leads_to)]


def _versions(location: str, moved: Mapping[str, str]) -> list[str]:
    paths = [PurePath(path) for path in moved if os.path.dirname(path) == location]
    return [path.name for path in paths if path.name.startswith("PG_")]


def _is_one_of(moved: Mapping[str, str], path: str) -> bool:
    return any(is_inside(path, now) for now in moved.values())


def keep_together(data: Path, links: Sequence[OldLink], moved: Mapping[str, str]) -> None:
    """Let the links of a data directory lead to where what they led to is by now.

    `moved`: from each place to where what was there is.
    """
    for link in links:
        if not _is_link(data / link.name):
            continue
        if link.leads_to in moved:
            now = moved[link.leads_to]
            _lead(data / link.name, now)
            itself = Path(now, PurePath(link.leads_to).name)
            if _is_tablespace(link) and not os.path.lexists(itself):
                itself.symlink_to(_ITSELF)
                sync_directory(itself.parent)
            continue
        around = next((place for place in moved if is_inside(link.leads_to, place)), None)
        if around is not None:
            now = moved[around] + link.leads_to.removeprefix(around)
            _lead(data / link.name, os.path.dirname(now) if _is_tablespace(link) else now)


def lead_back(data: Path, links: Sequence[OldLink], moved: Mapping[str, str]) -> None:
    """The reverse of `keep_together`, wherever the data directory is by now."""
    for link in links:
        place = data / link.name
        if _is_link(place):
            _new(place).unlink(missing_ok=True)  # of a try that died in the middle of it
            if _is_one_of(moved, os.readlink(place)):
                _lead(place, link.text)
        if not _is_tablespace(link):
            continue
        name = PurePath(link.leads_to).name
        for directory in {moved.get(link.leads_to, link.leads_to), link.leads_to}:
            itself = Path(directory, name)
            if itself.is_symlink() and os.readlink(itself) == _ITSELF:
                itself.unlink()
                sync_directory(itself.parent)


def _is_own(directory: Path) -> bool:
    return directory.is_dir() and not directory.is_symlink()


def _is_tablespace(link: OldLink) -> bool:
    return link.name != "pg_wal"


def _is_link(place: Path) -> bool:
    """Nothing is changed behind a link that somebody has put in the place of `pg_tblspc`."""
    return place.is_symlink() and _is_own(place.parent)


def _lead(link: Path, text: str) -> None:
    """Replace a link, whole or not at all; it stays its owner's."""
    if os.readlink(link) == text:
        return
    owner = link.lstat()
    replacement = _new(link)
    replacement.unlink(missing_ok=True)
    replacement.symlink_to(text)
    if os.geteuid() == 0:
        os.lchown(replacement, owner.st_uid, owner.st_gid)
    os.replace(replacement, link)
    sync_directory(link.parent)


def _new(link: Path) -> Path:
    return link.with_name(f"{link.name}.pgrescue-new")
