"""A table that is walked with the keys that hands know from other tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from pgrescue.tui.widgets.plain_text import spelled_row


class NavTable(DataTable[Text], inherit_bindings=False):
    """Rows under a cursor; enter belongs to the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_up", show=False),
        Binding("down,j", "cursor_down", show=False),
        Binding("pageup,ctrl+b", "page_up", show=False),
        Binding("pagedown,ctrl+f", "page_down", show=False),
        Binding("home,g", "scroll_top", show=False),
        Binding("end,G", "scroll_bottom", show=False),
        Binding("shift+left", "cursor_left", show=False),
        Binding("shift+right", "cursor_right", show=False),
    ]

    def __init__(self, columns: Sequence[tuple[str, int]], *, id: str, header: bool = True) -> None:
        """Columns have a label and a width in cells."""
        super().__init__(id=id, cursor_type="row", show_header=header, cell_padding=0)
        self._labels = columns

    def on_mount(self) -> None:
        """Make the columns."""
        for label, width in self._labels:
            self.add_column(Text(label), width=width + 1, key=label)

    def show_rows(self, rows: Iterable[tuple[str, Sequence[Text]]]) -> None:
        """Show these rows by key; only cells that differ are painted again."""
        wanted = {key: [spelled_row(cell) for cell in cells] for key, cells in rows}
        if [str(key.value) for key in self.rows] != list(wanted):
            current = self.current
            self.clear()
            for key, cells in wanted.items():
                self.add_row(*cells, key=key)
            if current in wanted:
                self.move_cursor(row=list(wanted).index(current), animate=False)
            return
        for key, cells in wanted.items():
            for (label, _), cell in zip(self._labels, cells, strict=True):
                if self.get_cell(key, label) != cell:
                    self.update_cell(key, label, cell)

    @property
    def current(self) -> str | None:
        """The key of the row under the cursor."""
        if not self.is_valid_row_index(self.cursor_row):
            return None
        return self.ordered_rows[self.cursor_row].key.value
