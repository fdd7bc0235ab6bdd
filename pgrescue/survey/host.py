"""This machine, and who is at it."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from pgrescue.plan.facts import HostFacts
from pgrescue.postgres.account import account_by_uid, current_account

_LISTENING = "0A"
_NO_LOGIN = 2**32 - 1
"""The login uid of what no login has started, such as a service."""


def host_facts() -> HostFacts:
    """Host name, operator, privileges, clock and the ports that are taken."""
    return HostFacts(
        name=host_name(),
        operator=operator(),
        is_root=os.geteuid() == 0,
        account=current_account(),
        now=datetime.now(UTC),
        ports_in_use=listening_ports(),
    )


def host_name() -> str:
    """The short name of this host, as people call it."""
    return socket.gethostname().split(".")[0]


def boot_id() -> str:
    """Which boot of the machine this is."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def operator() -> str:
    """Who is at the keyboard, also behind sudo and su.

    The environment is only believed where sudo sets it: anybody can write there whom they like.
    """
    behind = os.environ.get("SUDO_USER") if os.geteuid() == 0 else None
    try:
        return behind or _login_name() or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _login_name() -> str | None:
    """Who logged in, whomever they have become since (proc_pid_loginuid(5))."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        return None
    return account_by_uid(uid).name if uid != _NO_LOGIN else None


def listening_ports() -> tuple[int, ...]:
    """TCP ports that something listens on (`/proc/net/tcp`, proc(5))."""
    ports: set[int] = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 3 and fields[3] == _LISTENING:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return tuple(sorted(ports))
