"""Reading the screen as an operator does."""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot
from textual.widgets import Button

from pgrescue.tui.application import RescueApp
from tests.tui.fake_bridge import FakeBridge

_TEXT = re.compile(
    r'<text [^>]*?x="(?P<x>[\d.]+)"[^>]*?clip-path="url\(#[^)]*-line-(?P<row>\d+)\)">'
    r"(?P<text>[^<]*)</text>"
)
_CELL = 12.2
"""Width of a cell in Rich's pictures."""
SIZES = ((80, 24), (60, 18), (120, 40))


@asynccontextmanager
async def opened(
    bridge: FakeBridge, size: tuple[int, int] = (80, 24), *, ascii_only: bool = False
) -> AsyncIterator[Pilot[None]]:
    """The app on a screen of that size, with toasts."""
    app = RescueApp(bridge, ascii_only=ascii_only)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        yield pilot


def lines(pilot: Pilot[None]) -> list[str]:
    """What the terminal shows, row by row, read back from the exported picture."""
    width, height = pilot.app.size
    rows = [[" "] * width for _ in range(height)]
    for match in _TEXT.finditer(pilot.app.export_screenshot()):
        column = round(float(match["x"]) / _CELL)
        shown = html.unescape(match["text"]).replace("\xa0", " ")
        rows[int(match["row"])][column : column + len(shown)] = shown
    return ["".join(row).rstrip() for row in rows]


def text(pilot: Pilot[None]) -> str:
    """The whole screen as text."""
    return "\n".join(lines(pilot))


async def until(
    pilot: Pilot[None], condition: Callable[[], object], what: str, seconds: float = 10
) -> None:
    """Wait until something is so on the screen; fails with the screen after that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} on:\n{text(pilot)}"
        await pilot.pause()
        await asyncio.sleep(0.02)


async def see(pilot: Pilot[None], wanted: str, seconds: float = 10) -> None:
    """Wait until the screen shows a text."""
    await until(pilot, lambda: wanted in text(pilot), f"'{wanted}'", seconds)


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys, and let the screen follow."""
    await pilot.press(*keys)
    await pilot.pause()


async def type_text(pilot: Pilot[None], typed: str) -> None:
    """Type letters, digits and the usual signs."""
    names = {
        "/": "slash",
        " ": "space",
        ":": "colon",
        "-": "minus",
        "+": "plus",
        "=": "equals_sign",
    }
    await press(pilot, *(names.get(sign, sign) for sign in typed))


def focused_label(pilot: Pilot[None]) -> str:
    """The label of the button that has the focus; empty if none has."""
    focused = pilot.app.focused
    return str(focused.label) if isinstance(focused, Button) else ""
