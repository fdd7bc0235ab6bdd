"""The tablespaces of a backup: where they were, where their copies are, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from pgrescue.catalog.look import TABLESPACE_MAP, Look
from pgrescue.catalog.model import BackupTablespace, Problem
from pgrescue.errors import InvalidFormat
from pgrescue.postgres.tablespace_map import parse_tablespace_map


@dataclass(frozen=True, slots=True)
class LocatedTablespaces:
    """What was found, OID to archive or directory of each copy, and what is wrong."""

    found: tuple[BackupTablespace, ...]
    sources: dict[int, str]
    problems: tuple[Problem, ...]


def locate_tablespaces(
    look: Look, major: int | None, listed_bytes: dict[int, int] | None
) -> LocatedTablespaces:
    """Match `tablespace_map` (tar) or the links (plain) with the copies.

    `listed_bytes` are the manifest's sizes by OID.
    """
    problems: list[Problem] = []
    paths = _mapped_paths(look, major, problems)
    copies = look.tablespaces
    for oid, path in paths.items():
        if oid not in copies:
            problems.append(_missing(oid, path, look))
    for oid, copy in copies.items():
        if oid not in paths and copy.path is None and not look.problems:
            problems.append(
                Problem(
                    "tablespace_unmapped",
                    f"{copy.source} is there, but {TABLESPACE_MAP} does not say where it belongs.",
                )
            )
    found = []
    for oid in sorted({*paths, *copies}):
        held = copies.get(oid)
        size = (listed_bytes or {}).get(oid, held.size_bytes if held else None)
        location = paths.get(oid) or (held.path if held else None)
        if location is not None:
            found.append(BackupTablespace(oid, location, size))
    return LocatedTablespaces(
        found=tuple(found),
        sources={oid: copy.source for oid, copy in sorted(copies.items())},
        problems=tuple(problems),
    )


def _mapped_paths(look: Look, major: int | None, problems: list[Problem]) -> dict[int, str]:
    file = look.files.get(TABLESPACE_MAP)
    if file is None:
        return {}
    try:
        return parse_tablespace_map(file.data.decode(), major)
    except InvalidFormat as error:
        problems.append(Problem("tablespace_map_damaged", f"{error.title} {error.cause}".strip()))
    except UnicodeDecodeError:
        problems.append(
            Problem("tablespace_map_damaged", f"{TABLESPACE_MAP} holds a path that is not UTF-8.")
        )
    return {}


def _missing(oid: int, path: str, look: Look) -> Problem:
    where = f"{oid}.tar" if look.base_archive else f"pg_tblspc/{oid}"
    return Problem("tablespace_missing", f"{where} is missing: the tablespace that was at {path}.")
