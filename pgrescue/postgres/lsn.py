"""Log sequence numbers: byte positions in the write-ahead log.

Text form `X/X` as in `src/include/access/xlogdefs.h` (`LSN_FORMAT_ARGS`): the high and
the low 32 bits in hexadecimal, without padding.
"""

from __future__ import annotations

import re

from pgrescue.errors import UsageError

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


class Lsn(int):
    """A position in the write-ahead log, in bytes since its beginning."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Read PostgreSQL's `X/X` text; raises `UsageError` for anything else."""
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"'{text}' is not an LSN.",
                "An LSN is two hexadecimal numbers with a slash between, such as 0/3000028.",
            )
        return cls(int(match[1], 16) << 32 | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({str(self)!r})"
