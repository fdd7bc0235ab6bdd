"""A backup that is read to its end: how far it is, and what was found."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from pgrescue.catalog.model import Backup
from pgrescue.errors import PgRescueError
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.messages import ReadingProgressed
from pgrescue.tui.meter import share_bar
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_pane import TextPane
from pgrescue.tui.words import about, clock, size
from pgrescue.verify.model import Verification

_READ = "Reading the backup"


class _GivenUp(Exception):
    """Nobody waits for this reading any more."""


class VerifyScreen(RescueScreen):
    """Leaving it stops the reading; nothing is changed by either."""

    KIND = "verify"
    HEADING = "Verification of a backup"
    CSS_PATH = "verify.tcss"
    BINDINGS = bindings_of("verify")

    def __init__(self, cluster: str, backup: Backup) -> None:
        super().__init__()
        self._cluster = cluster
        self._backup = backup
        self._left = False
        self._is_over = False
        self._began = 0.0
        self._heard = 0.0
        self._last = ReadingProgressed(0, "")

    def compose_body(self) -> ComposeResult:
        """Which backup, how far, and what was found."""
        yield PlainText(f"{self._backup.id}  {self._backup.path}", id="headline")
        yield PlainText("", id="bar")
        yield PlainText("", id="rate")
        yield PlainText("", id="file")
        yield TextPane(_UNDER_WAY, id="found")

    def on_mount(self) -> None:
        """Read, in a thread."""
        self._began = self._heard = time.monotonic()
        self._paint()
        self.set_interval(1.0, self._paint)
        self.query_one(TextPane).focus()
        cluster, backup, progress = self._cluster, self._backup.id, self._reporter()
        self.errand(_READ, lambda: self.bridge.verify(cluster, backup, progress), self._read)

    def on_unmount(self) -> None:
        """A reading that nobody waits for stops at the next file."""
        self._left = True

    def action_back(self) -> None:
        """Leave; what was not read to its end counts for nothing."""
        if not self._is_over:
            self.say("Not read to its end: nothing is known about this backup.")
        super().action_back()

    def failed(self, name: str, error: PgRescueError) -> None:
        """The reading broke off."""
        self._is_over = True
        self.query_one(TextPane).show("The reading broke off; nothing is known about this backup.")
        super().failed(name, error)

    @on(ReadingProgressed)
    def _progressed(self, message: ReadingProgressed) -> None:
        self._last, self._heard = message, time.monotonic()

    def _reporter(self) -> Callable[[int, str], None]:
        """What the reading calls after each piece, in its thread: it speaks once a second."""
        spoken = 0.0

        def progress(done: int, name: str) -> None:
            nonlocal spoken
            if self._left:
                raise _GivenUp
            now = time.monotonic()
            if now - spoken >= 1.0:
                spoken = now
                self.tell(ReadingProgressed(done, name))

        return progress

    def _paint(self) -> None:
        if self._is_over:
            return
        now, done, total = time.monotonic(), self._last.done, self._backup.restore_bytes
        seconds = now - self._began
        parts = [f"{clock(seconds)} so far"]
        if done and seconds >= 1:
            parts.append(f"{size(round(done / seconds))}/s")
            if total is not None and total > done:
                parts.append(f"about {about(seconds * (total - done) / done)} left")
        parts.append(f"last heard of {clock(now - self._heard)} ago")
        self.query_one("#bar", Static).update(
            share_bar(done, total, self.size.width - 2, self.glyphs)
        )
        self.query_one("#rate", Static).update("   ".join(parts))
        self.query_one("#file", Static).update(self._last.name)

    def _read(self, found: Verification) -> None:
        self._is_over = True
        for name in ("bar", "rate", "file"):
            self.query_one(f"#{name}", Static).update("")
        self.query_one(TextPane).show(verification_text(found))
        self.rescue.backup_verified()


_UNDER_WAY = (
    "Every file is read and compared with the manifest, then every record of the WAL that "
    "the backup needs. Nothing is changed. esc gives it up."
)


def verification_text(found: Verification) -> str:
    """What came out of it; what is wrong in full."""
    read = f"{found.files:,} files, {size(found.bytes)}, in {about(found.seconds)}"
    if found.is_proved:
        verdict = f"WHOLE. {read}: all as the manifest says. The catalog remembers it."
    elif found.ok:
        verdict = f"READABLE to its end, but not proved. {read}."
    elif found.is_only_unread:
        verdict = f"NOT READ whole, so it is not known. {read}."
    else:
        count = len(found.problems)
        verdict = f"DAMAGED. {count:,} problem{'' if count == 1 else 's'}; {read}."
    lines = [verdict, "", *(f"{item.code:<12} {item.message}" for item in found.problems)]
    if found.is_only_unread:
        lines += ["", "Next:", "  as an account that may read it all: the same again"]
    elif not found.ok:
        lines += [
            "",
            "Next:",
            "  do not rely on it: take another backup (b in the catalog)",
            "  look at the disk and its cabling (dmesg)",
        ]
    lines += ["", "The same from the command line:", f"  pgrescue verify {found.backup}"]
    return "\n".join(lines)
