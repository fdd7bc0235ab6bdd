"""What the terminal and its environment allow, decided before Textual is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping

from pgrescue.errors import UsageError

_DEFAULTS = {
    # Ten frames a second cost no noticeable latency and a sixth of the bytes.
    "TEXTUAL_FPS": "10",
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_SMOOTH_SCROLL": "0",
    # A terminal left in that keyboard mode by a dropped line swallows tmux's prefix.
    "TEXTUAL_DISABLE_KITTY_KEY": "1",
    "ESCDELAY": "50",
}


def prepare_environment(environ: MutableMapping[str, str] = os.environ) -> None:
    """Textual's settings for a slow line; Textual reads them when it is imported."""
    for name, value in _DEFAULTS.items():
        environ.setdefault(name, value)


def refuse_unsuitable_terminal(environ: Mapping[str, str] = os.environ) -> None:
    """Raise `UsageError`, naming the command line's way, where no screen can be drawn."""
    term = environ.get("TERM", "")
    reason = None
    if not (
        sys.__stdin__ and sys.__stdin__.isatty() and sys.__stdout__ and sys.__stdout__.isatty()
    ):
        reason = "Standard input or output is not a terminal."
    elif term in ("", "dumb", "unknown"):
        reason = f"TERM is '{term}': the cursor cannot be moved there."
    if reason is not None:
        raise UsageError(
            "The terminal UI cannot run here.",
            reason,
            next_steps=(
                "use the commands: pgrescue catalog, plan, restore, status, attach",
                "see them all: pgrescue --help",
            ),
        )


def wants_ascii(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to draw with ASCII only: no UTF-8 locale, or the Linux console's small font.

    Python itself sets LC_CTYPE to C.UTF-8 when it finds the C locale (PEP 538), so that value
    beside a C locale says nothing about the terminal.
    """
    language = environ.get("LANG", "")
    kind = environ.get("LC_CTYPE", "")
    if kind == "C.UTF-8" and language in ("", "C", "POSIX"):
        kind = ""
    locale = environ.get("LC_ALL") or kind or language
    is_utf8 = locale.lower().replace("-", "").endswith("utf8")
    return not is_utf8 or environ.get("TERM") == "linux"
