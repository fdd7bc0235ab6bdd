"""What systemd's journal has of a unit: a server without a log file of its own writes there."""

from __future__ import annotations

import subprocess
from datetime import datetime

_MOST_LINES = 5000
_SECONDS = 20.0


def unit_log(unit: str, since: datetime) -> str:
    """The unit's lines since then, without journald's prefix; "" if there is no journal.

    Arguments: journalctl(1).
    """
    command = ("journalctl", f"--unit={unit}", f"--since=@{int(since.timestamp())}")
    form = ("--output=cat", "--no-pager", "--quiet", f"--lines={_MOST_LINES}")
    try:
        return subprocess.run(
            (*command, *form),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
