"""Quotas of disk space.

A stand-in answers for the kernel: not every kernel counts quotas, and those of a real file system
have to be set up when it is made.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pgrescue.plan.checks.host import inode_shortages, room
from pgrescue.plan.model import Space
from pgrescue.plan.space import Needs
from pgrescue.postgres.account import Account
from pgrescue.survey import quota
from pgrescue.survey.free_space import filesystem_facts, free_at
from pgrescue.survey.seen import shortages

MIB = 1 << 20
ACCOUNT = Account(7001, 7002, "postgres", "/")
USER, GROUP = 0, 1
ENFORCED = 0b1010
"""FS_QUOTA_UDQ_ENFD and FS_QUOTA_GDQ_ENFD."""


@dataclass
class Kernel:
    """What it has set and counted, by the kind and the number of whom it is about."""

    flags: int = ENFORCED
    quotas: dict[tuple[int, int], dict[str, int]] = field(default_factory=dict)

    def answer(
        self, command: int, kind: quota.Kind, device: str, number: int, answer: ctypes.Structure
    ) -> bool:
        assert device == "/dev/some"
        if command == quota.GET_STATE:
            answer.flags = self.flags
            return True
        assert command == quota.GET_QUOTA
        found = self.quotas.get((kind.number, number))
        for name, value in (found or {}).items():
            setattr(answer, name, value)
        return found is not None

    def limit(self, kind: int = USER, **set_to: int) -> None:
        """Sizes in KiB, as quotactl has them."""
        self.quotas[kind, ACCOUNT.uid if kind == USER else ACCOUNT.gid] = set_to


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(quota, "ask_kernel", made.answer)
    monkeypatch.setattr(quota, "mounted_from", lambda _device: "/dev/some")
    return made


def hard(kernel: Kernel) -> None:
    kernel.limit(block_hard_limit=10240, block_soft_limit=5120, bytes_used=4 * MIB)


def soft(kernel: Kernel) -> None:
    kernel.limit(block_soft_limit=10240, bytes_used=4 * MIB)


@pytest.mark.parametrize("limit", [hard, soft])
def test_less_is_free_than_the_disk_has(
    kernel: Kernel, tmp_path: Path, limit: Callable[[Kernel], None]
) -> None:
    limit(kernel)
    free = free_at(tmp_path / "not" / "made yet", ACCOUNT)
    assert (free.bytes, free.quota) == (6 * MIB, "user postgres")


def test_the_group_may_have_less(kernel: Kernel, tmp_path: Path) -> None:
    hard(kernel)
    kernel.limit(GROUP, block_hard_limit=1024, inode_hard_limit=50, inodes_used=20)
    free = free_at(tmp_path, ACCOUNT)
    assert (free.bytes, free.inodes) == (MIB, 30)
    assert free.quota == "user postgres and group 7002"


def test_what_is_used_up_is_not_less_than_nothing(kernel: Kernel, tmp_path: Path) -> None:
    kernel.limit(block_hard_limit=1024, bytes_used=3 * MIB)
    assert free_at(tmp_path, ACCOUNT).bytes == 0


def nobody(_kernel: Kernel) -> Account | None:
    return None


def somebody_else(_kernel: Kernel) -> Account | None:
    return Account(7003, 7003, "other", "/")


def not_enforced(kernel: Kernel) -> Account | None:
    kernel.flags = 0b0101  # counted only
    return ACCOUNT


def unlimited(kernel: Kernel) -> Account | None:
    kernel.limit(bytes_used=9 * MIB)
    return ACCOUNT


def more_than_the_disk_has(kernel: Kernel) -> Account | None:
    kernel.limit(block_hard_limit=1 << 50)
    return ACCOUNT


@pytest.mark.parametrize(
    "case", [nobody, somebody_else, not_enforced, unlimited, more_than_the_disk_has]
)
def test_no_quota_binds(
    kernel: Kernel, tmp_path: Path, case: Callable[[Kernel], Account | None]
) -> None:
    hard(kernel)
    free = free_at(tmp_path, case(kernel))
    there = os.statvfs(tmp_path)
    assert free.quota == ""
    assert free.bytes > there.f_bavail * there.f_frsize // 2 > 6 * MIB


def test_the_real_kernel_is_asked_without_harm(tmp_path: Path) -> None:
    """Where there are no quotas it says so, and that is no error."""
    assert free_at(tmp_path, ACCOUNT).bytes > 0


def planned(kernel: Kernel, place: Path, needed: int) -> Space:
    path = str(place)
    needs = Needs({path: filesystem_facts(place, ACCOUNT)})
    needs.add(path, needed)
    (space,) = needs.spaces()
    return space


def test_a_plan_is_refused_and_says_whose_quota_it_is(kernel: Kernel, tmp_path: Path) -> None:
    kernel.limit(block_hard_limit=100 << 10, inode_hard_limit=5)
    space = planned(kernel, tmp_path, 120 * MIB)
    bytes_short, inodes_short = room([space])[0], inode_shortages([space])[0]
    for finding in (bytes_short, inodes_short):
        assert finding.status == "blocker"
        assert "by the quota of user postgres" in finding.message
        assert "raise the quota of user postgres" in (finding.fix or "")
    assert not [one for one in room([planned(kernel, tmp_path, MIB)]) if one.status == "blocker"]


def test_a_quota_that_has_been_used_since_the_plan_was_made(kernel: Kernel, tmp_path: Path) -> None:
    kernel.limit(block_hard_limit=100 << 10)
    space = planned(kernel, tmp_path, 50 * MIB)
    assert shortages([space]) == []
    kernel.limit(block_hard_limit=100 << 10, bytes_used=90 * MIB)
    (sentence,) = shortages([space])
    assert f"has {10 * MIB}" in sentence
