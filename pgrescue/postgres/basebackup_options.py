"""What pg_basebackup can be asked for, and how people write it.

Manual: "pg_basebackup"; `src/bin/pg_basebackup/pg_basebackup.c`, `src/common/compression.c`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from pgrescue.errors import UsageError

BackupFormat = Literal["tar", "plain"]
Method = Literal["none", "gzip", "lz4", "zstd"]
Side = Literal["client", "server"]
WalMethod = Literal["stream", "fetch", "none"]
Checkpoint = Literal["auto", "fast", "spread"]
ManifestChecksums = Literal["NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512"]
_RATE = re.compile(r"(\d+)\s*([kKMmGg]?)(?:i?[Bb])?")
_UNITS = {"": 1 << 10, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LEAST_RATE, _MOST_RATE = 32 << 10, 1 << 30
"""What pg_basebackup takes (`MAX_RATE_LOWER`, `MAX_RATE_UPPER` in `basebackup_sink.h`)."""


@dataclass(frozen=True, slots=True)
class Compression:
    """How, how hard, and on which side of the connection."""

    method: Method = "none"
    level: int | None = None
    side: Side = "client"


def compression_from(text: str) -> Compression:
    """`zstd`, `gzip:6`, `server-lz4`; raises `UsageError`."""
    method, colon, level = text.strip().lower().partition(":")
    side, dash, named = method.rpartition("-")
    if dash and side in ("client", "server"):
        method = named
    elif dash:
        method = ""
    methods: dict[str, Method] = {name: name for name in get_args(Method)}
    if method not in methods or (colon and not level.isdigit()) or (method == "none" and colon):
        raise UsageError(
            f"'{text}' is no compression.",
            "It is none, gzip, lz4 or zstd, a level behind a colon, 'server-' before it to have "
            "the server do it.",
            next_steps=("--compress zstd:3", "--compress server-lz4"),
        )
    return Compression(
        methods[method],
        int(level) if level else None,
        "server" if side == "server" else "client",
    )


def compression_text(compression: Compression) -> str:
    """The same as text."""
    side = "server-" if compression.side == "server" else ""
    level = "" if compression.level is None else f":{compression.level}"
    return f"{side}{compression.method}{level}"


def rate_from(text: str) -> int:
    """`50M`: bytes a second; a plain number is of kilobytes, as for pg_basebackup."""
    match = _RATE.fullmatch(text.strip())
    rate = int(match[1]) * _UNITS[match[2].lower()] if match else 0
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        raise UsageError(
            f"'{text}' is no rate.",
            "It is a number with k, M or G, from 32k to 1G a second.",
            next_steps=("--max-rate 50M",),
        )
    return rate


def rate_text(rate: int) -> str:
    """The same as text, in the largest unit that fits."""
    for letter in ("g", "m"):
        if rate % _UNITS[letter] == 0:
            return f"{rate // _UNITS[letter]}{letter.upper()}"
    return f"{rate // 1024}k"


def mapping_from(text: str) -> tuple[str, str]:
    """`OLD=NEW`: a tablespace's location and where its files go; raises `UsageError`."""
    old, equals, new = text.partition("=")
    if not (equals and old.startswith("/") and new.startswith("/")):
        raise UsageError(
            f"'{text}' is no mapping of a tablespace.",
            "It is OLD=NEW, both absolute.",
            next_steps=("--tablespace /srv/ts=/backup/ts",),
        )
    return old, new
