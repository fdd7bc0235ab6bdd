"""The operating system account that owns a cluster, and acting on its behalf.

PostgreSQL refuses to run as root and insists on owning its files, so whoever runs pgrescue,
servers and their tools run as this account.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict

_MAY_READ = 'test -r "$1" && { test ! -d "$1" || test -x "$1"; }'
_MAY_ENTER = 'test -d "$1" && test -x "$1"'
_MAY_WRITE = _MAY_READ + ' && test -w "$1"'


class SpawnArguments(TypedDict, total=False):
    """Keyword arguments of `subprocess.Popen` that drop privileges."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """A user id with its primary group; the name is for people."""

    uid: int
    gid: int
    name: str
    home: str

    @property
    def is_current(self) -> bool:
        """Whether this process already runs as it."""
        return os.geteuid() == self.uid

    @property
    def must_switch(self) -> bool:
        """Whether a program has to be started under another account than ours."""
        return os.geteuid() == 0 and self.uid != 0

    def spawn_arguments(self) -> SpawnArguments:
        """What `subprocess` needs to start a program as this account."""
        if not self.must_switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": self._groups()}

    def environment(self) -> dict[str, str]:
        """Our environment with this account's home, and messages in English for parsing."""
        return {
            **os.environ,
            "HOME": self.home,
            "USER": self.name,
            "LOGNAME": self.name,
            "LC_ALL": "C.UTF-8",
        }

    @contextmanager
    def assumed(self) -> Iterator[None]:
        """Be this account for a moment, as far as sockets and files can tell.

        For peer authentication: the server asks the kernel for the effective user of the
        connecting process. Not for use beside other threads that touch files.
        """
        if not self.must_switch:
            yield
            return
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    def _groups(self) -> list[int]:
        try:
            return os.getgrouplist(self.name, self.gid)
        except OSError:
            return [self.gid]


def account_by_uid(uid: int, gid: int | None = None) -> Account:
    """The account with this id; one that has no entry gets its number as name."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid, uid if gid is None else gid, str(uid), "/")
    return Account(uid, entry.pw_gid if gid is None else gid, entry.pw_name, entry.pw_dir)


def account_by_name(name: str) -> Account | None:
    """The account with this name, if there is one."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def current_account() -> Account:
    """The account this process acts as."""
    return account_by_uid(os.geteuid(), os.getegid())


def can_access(
    account: Account, path: str | os.PathLike[str], *, write: bool = False
) -> bool | None:
    """Whether the account may read the path (and enter a directory), or also write there.

    None if we cannot tell.
    """
    return _passes(account, _MAY_WRITE if write else _MAY_READ, path)


def can_enter(account: Account, path: str | os.PathLike[str]) -> bool | None:
    """Whether the account gets through a directory; None if we cannot tell."""
    return _passes(account, _MAY_ENTER, path)


def _passes(account: Account, test: str, path: str | os.PathLike[str]) -> bool | None:
    if not (account.is_current or account.must_switch):
        return None
    argv = ["/bin/sh", "-c", test, "sh", os.fspath(path)]
    # Another process, since only that has all of the account's groups.
    result = subprocess.run(argv, check=False, cwd="/", **account.spawn_arguments())
    return result.returncode == 0
