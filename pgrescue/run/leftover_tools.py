"""Programs that a runner started and did not live to see the end of."""

from __future__ import annotations

import os
import shlex
import signal
import time
from contextlib import suppress
from pathlib import Path

from pgrescue.errors import Refused
from pgrescue.postgres.postmaster import is_alive, start_time
from pgrescue.run.records import CommandBegan
from pgrescue.run.state import RunState
from pgrescue.survey.host import boot_id

_SECONDS = 10.0
_HARMLESS = ("pg_ctl", "pg_ctlcluster", "systemctl")
"""They hand a request over and wait; ending them would not end what they asked for."""


def end_leftover_tools(state: RunState) -> None:
    """End programs of an earlier runner of this run that still write where we are about to.

    Each was started in a session of its own, so its process group is its own. After a reboot their
    numbers are those of strangers. Raises `Refused` if one cannot be ended.
    """
    for tool in state.tools if state.boot_id == boot_id() else ():
        if _is_the_same(tool) and not _is_harmless(tool.command):
            _end(tool)


def _is_harmless(command: str) -> bool:
    """Judged by the program, or by what a shell is to do: other programs take foreign words."""
    words = shlex.split(command)
    if words[0] == "runuser":
        words = words[words.index("--") + 1 :]
    program = Path(words[0]).name
    return program in _HARMLESS or (
        program == "sh" and any(name in word for word in words for name in _HARMLESS)
    )


def _is_the_same(tool: CommandBegan) -> bool:
    return is_alive(tool.pid) and start_time(tool.pid) == tool.process_start


def _end(tool: CommandBegan) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(tool.pid, kind)
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            if not _is_the_same(tool):
                return
            time.sleep(0.05)
    raise Refused(
        f"The program '{tool.command}' of an earlier runner is still at work.",
        f"Process {tool.pid} could not be ended; it writes where this run is about to.",
        next_steps=(f"end it: kill -9 -- -{tool.pid}",),
    )
