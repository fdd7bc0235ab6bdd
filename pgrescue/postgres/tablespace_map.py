r"""`tablespace_map`: where a backup's tablespaces were, one `OID PATH` a line.

Written by `do_pg_backup_start`, read by `read_tablespace_map` in
`src/backend/access/transam/xlogrecovery.c`. From 14 on, a backslash in a path is escaped as well
as a newline or carriage return; before, only those two were.
"""

from __future__ import annotations

import re

from pgrescue.errors import InvalidFormat

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def parse_tablespace_map(text: str, major: int | None) -> dict[int, str]:
    """OIDs and paths of a map written by `major` (newest rules if unknown)."""
    entries: dict[int, str] = {}
    for line in _logical_lines(text):
        oid, space, path = line.partition(" ")
        if not oid.isdigit() or not space:
            raise InvalidFormat("tablespace_map is damaged.", f"Line {line!r} is not 'OID PATH'.")
        only_newlines = major is not None and major < 14
        pattern = re.compile(r"\\([\n\r])") if only_newlines else _ESCAPED
        entries[int(oid)] = pattern.sub(r"\1", path)
    return entries


def format_tablespace_map(entries: dict[int, str], major: int) -> str:
    """The map's text for a server of version `major`."""
    special = re.compile(r"([\n\r])" if major < 14 else r"([\n\r\\])")
    escaped = {oid: special.sub(r"\\\1", path) for oid, path in entries.items()}
    return "".join(f"{oid} {path}\n" for oid, path in sorted(escaped.items()))


def _logical_lines(text: str) -> list[str]:
    """Split at newlines that no backslash escapes."""
    lines, current, escaped = [], "", False
    for character in text:
        if character == "\n" and not escaped:
            lines.append(current)
            current = ""
            continue
        escaped = character == "\\" and not escaped
        current += character
    return [line for line in [*lines, current] if line]
