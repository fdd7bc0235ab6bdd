"""Which directory a journal means, whatever has taken its name since."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pgrescue.survey.host import boot_id


@dataclass(frozen=True, slots=True)
class Identity:
    """A directory that a run has made or renamed, by its name at that time."""

    path: str
    device: int
    inode: int
    boot: str
    """The boot in which it was seen: after another one its disk may have another number."""

    def is_of(self, status: os.stat_result) -> bool:
        """Whether that is still the same directory, under whatever name."""
        same_disk = self.device == status.st_dev or self.boot != boot_id()
        return self.inode == status.st_ino and same_disk

    def is_also(self, other: Identity) -> bool:
        """Whether two runs mean the same directory, under whatever names."""
        same_disk = self.device == other.device or self.boot != other.boot
        return self.inode == other.inode and same_disk
