"""Programs that a runner started and did not live to see the end of."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pgrescue.errors import Refused
from pgrescue.postgres.postmaster import is_alive, start_time
from pgrescue.run.records import CommandBegan
from pgrescue.run.state import RunState
from pgrescue.survey.host import boot_id

_SECONDS = 10.0
_ASKING = ("pg_ctl", "pg_ctlcluster", "systemctl")
"""They hand a request over and wait; ending them would not end what they asked for."""


def end_leftover_tools(state: RunState) -> None:
    """End programs of an earlier runner of this run that still write where we are about to.

    Each was started in a session of its own, so its process group is its own. After a reboot their
    numbers are those of strangers. Raises `Refused` if one cannot be ended.
    """
    for tool in state.tools if state.boot_id == boot_id() else ():
        if _is_the_same(tool) and not tool.only_asks:
            _end(tool)


def only_asks(argv: Sequence[str]) -> bool:
    """Whether a program only asks others to do something, and waits for that: not to be ended.

    Judged by the program, or by what a shell is to do: other programs take foreign words.
    """
    program = Path(argv[0]).name
    return program in _ASKING or (
        program == "sh" and any(name in word for word in argv for name in _ASKING)
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
