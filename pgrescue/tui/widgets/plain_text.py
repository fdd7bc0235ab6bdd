"""What every widget shows: never read as markup, and nothing in it reaches the terminal raw."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual.color import Color
from textual.filter import LineFilter
from textual.visual import VisualType
from textual.widgets import Static

from pgrescue.printable import printable, printable_lines


class PlainText(Static):
    """A `Static` for words of any origin."""

    def __init__(
        self, text: str | Text = "", *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(spelled_lines(text), id=id, classes=classes, markup=False)

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show other words."""
        shown = spelled_lines(content) if isinstance(content, str | Text) else content
        super().update(shown, layout=layout)


class NothingObeyed(LineFilter):
    """The last guard, for widgets that are not ours: leaves out what nobody has spelled."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments, as wide as before."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            Segment("".join(filter(_is_harmless, text)), style, control)
            for text, style, control in segments
        ]


def spelled_lines(text: str | Text) -> str | Text:
    """Words in several lines, with their styles."""
    if isinstance(text, str):
        return printable_lines(text)
    return _spelled(text, "\n\t")


def spelled_row(text: Text) -> Text:
    """Words on one row, with their styles."""
    return _spelled(text, "")


def _spelled(text: Text, kept: str) -> Text:
    plain = text.plain
    foreign = [at for at, sign in enumerate(plain) if not (sign.isprintable() or sign in kept)]
    if not foreign:
        return text
    spelled = text.blank_copy()
    for piece in text.divide(sorted({place for at in foreign for place in (at, at + 1)})):
        if len(piece) == 1 and piece.plain not in kept:
            styles = [span.style for span in piece.spans]
            piece = Text(printable(piece.plain))
            for style in styles:
                piece.stylize(style)
        spelled.append_text(piece)
    return spelled


def _is_harmless(sign: str) -> bool:
    return sign.isprintable() or cell_len(sign) > 0
