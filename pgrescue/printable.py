r"""Foreign text for people: names may hold anything, a terminal must obey nothing of it."""

from __future__ import annotations

import re

_PUNCTUATION = r"!-/:-@\[-`{-~"
_MARKUP = re.compile(
    rf"\\(?=[{_PUNCTUATION}]|$)|[`*\[\]<>|~]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])|^(?:[#+=-]|\d+(?=[.)]))"
)
"""What CommonMark and its tables may take for more than a letter, and nothing that they do not."""


def printable(text: str) -> str:
    r"""The text on one row; whatever a terminal would obey or hide is spelled, such as `\x1b`.

    That is every control character, what turns the direction of writing or has no width, and
    what no encoding can write.
    """
    return text if text.isprintable() else "".join(map(_spelled, text))


def printable_lines(text: str) -> str:
    """The same where lines may end; tabs stay, too."""
    return text if text.isprintable() else "".join(c if c in "\n\t" else _spelled(c) for c in text)


def _spelled(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


def markdown(text: str) -> str:
    """The text on one row of a Markdown file, where none of it makes a link, a tag or a cell.

    Spaces at its ends, of which four make a block of code, go.
    """
    return _MARKUP.sub(_escaped, printable(text).strip(" "))


def markdown_code(text: str, *, in_table: bool = False) -> str:
    """The text as a code span, which ends where it ends."""
    shown = printable(text)
    fence = _fence(shown, 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    cell = shown.replace("|", r"\|") if in_table else shown
    return f"{fence}{pad}{cell}{pad}{fence}"


def markdown_block(lines: str, language: str) -> list[str]:
    """Lines as a fenced block of code."""
    shown = printable_lines(lines)
    fence = _fence(shown, 3)
    return [f"{fence}{language}", shown, fence]


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return f"{sign}\\" if sign.isdigit() else f"\\{sign}"


def _fence(text: str, least: int) -> str:
    """More backquotes than there are in a row in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)
