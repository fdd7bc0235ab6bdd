"""Quotas of disk space: what a user and a group may still use of a filesystem (quotactl(2)).

Disk quotas bind the server's account, not root: a restore by root would go on far beyond them, and
the server could not write a byte afterwards. Quotas of a directory, as XFS and ZFS have them, are a
smaller filesystem to statvfs(3) already; those of NFS are known to its server alone.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgrescue.postgres.account import Account
from pgrescue.survey.filesystem import mounted_from

GET_QUOTA = 0x800007
GET_STATE = 0x5805
"""Q_GETQUOTA and Q_XGETQSTAT (linux/quota.h, linux/dqblk_xfs.h)."""
_BLOCK = 1024
"""Bytes in which limits are told (QIF_DQBLKSIZE)."""
_REST_BYTES = 512
"""More than the rest of it has on any kernel."""


class _Quota(ctypes.Structure):
    """`struct if_dqblk` (linux/quota.h)."""

    _fields_ = (
        ("block_hard_limit", ctypes.c_uint64),
        ("block_soft_limit", ctypes.c_uint64),
        ("bytes_used", ctypes.c_uint64),
        ("inode_hard_limit", ctypes.c_uint64),
        ("inode_soft_limit", ctypes.c_uint64),
        ("inodes_used", ctypes.c_uint64),
        ("block_grace_ends", ctypes.c_uint64),
        ("inode_grace_ends", ctypes.c_uint64),
        ("valid", ctypes.c_uint32),
    )


class _State(ctypes.Structure):
    """The beginning of `struct fs_quota_stat` (linux/dqblk_xfs.h), and room for the rest of it."""

    _fields_ = (
        ("version", ctypes.c_int8),
        ("flags", ctypes.c_uint16),
        ("rest", ctypes.c_byte * _REST_BYTES),
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose quotas are asked for."""

    number: int
    """USRQUOTA or GRPQUOTA (linux/quota.h)."""
    enforced: int
    """FS_QUOTA_UDQ_ENFD or FS_QUOTA_GDQ_ENFD (linux/dqblk_xfs.h)."""


_USER = Kind(0, 1 << 1)
_GROUP = Kind(1, 1 << 3)


@dataclass(frozen=True, slots=True)
class Quota:
    """What one quota leaves; None where it sets no limit."""

    whose: str
    bytes: int | None
    inodes: int | None


def quotas_of(account: Account, place: Path) -> Iterator[Quota]:
    """The quotas that bind an account's files on the filesystem of an existing path.

    Another's quotas only root may ask for: what cannot be asked is left out, and so is what is
    counted without being enforced.
    """
    device = mounted_from(os.stat(place).st_dev)
    if not os.path.isabs(device):  # no block device: no disk quotas
        return
    whose = (
        (_USER, account.uid, f"user {account.name}"),
        (_GROUP, account.gid, f"group {account.gid}"),
    )
    for kind, number, name in whose:
        state, quota = _State(), _Quota()
        if not ask_kernel(GET_STATE, kind, device, 0, state) or not state.flags & kind.enforced:
            continue
        if ask_kernel(GET_QUOTA, kind, device, number, quota):
            yield Quota(
                name,
                _left(quota.block_hard_limit, quota.block_soft_limit, quota.bytes_used, _BLOCK),
                _left(quota.inode_hard_limit, quota.inode_soft_limit, quota.inodes_used, 1),
            )


def _left(hard: int, soft: int, used: int, unit: int) -> int | None:
    """A soft limit may be passed for days, so that it counts only where it is the only one."""
    limit = hard or soft
    return max(limit * unit - used, 0) if limit else None


def ask_kernel(
    command: int, kind: Kind, device: str, number: int, answer: ctypes.Structure
) -> bool:
    """Have a structure filled by quotactl(2); False where the kernel refuses."""
    call = ctypes.CDLL(None).quotactl
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
    # QCMD of linux/quota.h, which is a signed int to the kernel.
    command = ctypes.c_int((command << 8) | kind.number).value
    status: int = call(command, os.fsencode(device), number, ctypes.byref(answer))
    return status == 0
