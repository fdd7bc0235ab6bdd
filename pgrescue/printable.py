r"""Foreign text for people: names may hold anything, a terminal must obey nothing of it."""

from __future__ import annotations


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
