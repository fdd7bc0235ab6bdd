"""Where what is written again and again is kept: in memory, if there is room for it."""

from __future__ import annotations

import os
import shutil

_MEMORY = "/dev/shm"
_MUCH = 2 << 30
"""Bytes that must be free in memory."""


def roomy_place() -> str:
    """Where copies of a cluster are made fast; what a disk may lose is not tested there."""
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _MUCH:
        return "/tmp"
    # Containers mount it so that no program in it runs, and fetch-wal is one.
    return "/tmp" if os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC else _MEMORY
