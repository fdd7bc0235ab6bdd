"""`postgresql.conf` syntax: reading assignments, quoting values, pgrescue's own block.

Grammar: `src/backend/utils/misc/guc-file.l`. A later assignment of the same name wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

BLOCK_BEGIN = "# --- begin pgrescue {name} ---"
BLOCK_END = "# --- end pgrescue {name} ---"
_ASSIGNMENT = re.compile(
    r"""^\s*([A-Za-z_][A-Za-z0-9_.$]*)\s*(?:=\s*|\s+)
        ('(?:[^'\\]|''|\\.)*'|[^\s'#]+)\s*(?:\#.*)?$""",
    re.VERBOSE,
)
_DIRECTIVES = ("include", "include_if_exists", "include_dir")


def parse_assignments(text: str) -> dict[str, str]:
    """Names (lower case) and plain values; later lines win; include directives are left out."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line)
        if match is not None and match[1].lower() not in _DIRECTIVES:
            values[match[1].lower()] = _unquote(match[2])
    return values


def parse_includes(text: str) -> list[tuple[str, str]]:
    """The include directives in order, as (directive, path)."""
    found = []
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line)
        if match is not None and match[1].lower() in _DIRECTIVES:
            found.append((match[1].lower(), _unquote(match[2])))
    return found


def quote(value: str) -> str:
    """A value in single quotes, safe for any text without line breaks."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError("a setting's value cannot hold a line break")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def format_block(name: str, settings: Mapping[str, str], why: str) -> str:
    """One recognizable block of settings, between its own marker lines."""
    lines = [BLOCK_BEGIN.format(name=name), f"# {why}"]
    lines += [f"{key} = {quote(value)}" for key, value in settings.items()]
    return "\n".join([*lines, BLOCK_END.format(name=name)]) + "\n"


def without_block(text: str, name: str) -> str:
    """The text without pgrescue's block of that name, if it is there whole."""
    begin = re.escape(BLOCK_BEGIN.format(name=name))
    end = re.escape(BLOCK_END.format(name=name))
    return re.sub(rf"^{begin}\n.*?^{end}\n?", "", text, flags=re.MULTILINE | re.DOTALL)


def with_block(text: str, name: str, settings: Mapping[str, str], why: str) -> str:
    """The text with this block at its end, where it wins over everything before it."""
    rest = without_block(text, name)
    if rest and not rest.endswith("\n"):
        rest += "\n"
    return rest + format_block(name, settings, why)


def without_settings(text: str, settings: Mapping[str, str]) -> str:
    """The text without assignments that still have exactly these values.

    `ALTER SYSTEM` rewrites the file and drops comments, so a block may have lost its markers.
    """
    kept = []
    for line in text.splitlines(keepends=True):
        match = _ASSIGNMENT.match(line.rstrip("\n"))
        if match is not None and settings.get(match[1].lower()) == _unquote(match[2]):
            continue
        kept.append(line)
    return "".join(kept)


def with_values(text: str, change: Callable[[str, str], str]) -> str:
    """The text with what `change` makes of each name and value, to be shown on one line each.

    What stays the same, and lines that assign nothing, are left as they are.
    """
    lines = []
    for line in text.split("\n"):
        match = _ASSIGNMENT.match(line)
        if match is not None:
            value = _unquote(match[2])
            changed = change(match[1], value)
            if changed != value:
                shown = " ".join(changed.replace("\0", " ").split())
                line = line[: match.start(2)] + quote(shown) + line[match.end(2) :]
        lines.append(line)
    return "\n".join(lines)


def _unquote(raw: str) -> str:
    if not raw.startswith("'"):
        return raw
    inner = raw[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), inner)


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
