"""A service of one's own: a script that drives a sandbox's server and keeps a diary."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.service import ServiceSpec

_SCRIPT = """\
#!/bin/sh
# Usage: start|stop|status|is-active [UNIT]
echo "$*" >>{diary}
case "$1" in
start) {start} ;;
stop) {stop} ;;
status|is-active) {status} ;;
*) exit 64 ;;
esac
"""


class ServiceScript:
    """An executable with start, stop and status; each can be made to misbehave."""

    def __init__(self, sandbox: Sandbox, path: Path | None = None) -> None:
        """Write a script that works, by `pg_ctl` as the server's account."""
        self.path = path or sandbox.directory / "service"
        self.diary = self.path.with_name(f"{self.path.name}.diary")
        self.diary.touch()
        pg_ctl = shlex.join((sandbox.binaries.program("pg_ctl"), "-D", str(sandbox.data)))
        if sandbox.account.must_switch:
            pg_ctl = f"runuser -u {sandbox.account.name} -- {pg_ctl}"
        log = shlex.quote(str(sandbox.log))
        self.working = {
            "start": f"{pg_ctl} start -W -l {log}",
            "stop": f"{pg_ctl} stop -m fast -w",
            "status": f"{pg_ctl} status",
        }
        self.behave()

    def behave(self, **otherwise: str) -> None:
        """From now on each verb works, but for those that are given another shell command."""
        commands: Mapping[str, str] = {**self.working, **otherwise}
        self.path.write_text(_SCRIPT.format(diary=shlex.quote(str(self.diary)), **commands))
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The arguments of each call so far."""
        return self.diary.read_text().splitlines()

    @property
    def spec(self) -> ServiceSpec:
        """What a configuration says about it, as kind `command`."""
        program = shlex.quote(str(self.path))
        return ServiceSpec(
            kind="command",
            start=f"{program} start",
            stop=f"{program} stop",
            status=f"{program} status",
        )
