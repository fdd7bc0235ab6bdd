"""Every choice of a backup, explained in a sentence with its cost; and what versions allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pgrescue.postgres.basebackup_options import Compression

CLIENT_LZ4_SINCE = 15
MANIFEST_SINCE = 13
INCREMENTAL_SINCE = 17
PROGRESS_VIEW_SINCE = 13
LEVELS: Mapping[str, tuple[int, int]] = {"gzip": (1, 9), "lz4": (1, 12), "zstd": (1, 22)}
"""The least and the highest level (`src/common/compression.c`)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice: what it is called, what it means and costs, what careful people take."""

    name: str
    option: str
    about: str
    values: tuple[tuple[str, str], ...] = ()
    """Each value with its own sentence, the default first."""


CHOICES: tuple[Choice, ...] = (
    Choice(
        "source",
        "--source",
        "Which server. A standby spares the primary the reading, but its backup ends with the WAL "
        "that it has; a remote one costs the network.",
    ),
    Choice(
        "destination",
        "--destination",
        "The directory that backups go to, each in a directory of its own. Best on another "
        "machine's storage: a backup beside the data is lost with it.",
    ),
    Choice(
        "name",
        "--name",
        "The backup's directory; {cluster}, {time}, {kind} and {host} are filled in.",
    ),
    Choice(
        "format",
        "--format",
        "How the files are kept.",
        (
            ("tar", "One archive and one for each tablespace: few files, can be compressed."),
            (
                "plain",
                "A data directory as it is: can be started after a copy, takes its full size, and "
                "each tablespace needs a place of its own.",
            ),
        ),
    ),
    Choice(
        "compression",
        "--compress",
        "Smaller for the price of processor time, at the server or here.",
        (
            ("none", "As big as the data; nothing to compute."),
            (
                "gzip",
                "A third to a fifth of the size, one processor busy: seldom faster than 40 MB/s.",
            ),
            ("lz4", "About half the size at hardly any cost; PostgreSQL 15 and later."),
            ("zstd", "As small as gzip and several times as fast; PostgreSQL 15 and later."),
            ("server-gzip", "Compressed by the server: less to send, its processor is busy."),
            ("server-lz4", "Compressed by the server, cheaply: less to send."),
            ("server-zstd", "Compressed by the server, well: least to send."),
        ),
    ),
    Choice(
        "side",
        "--compress",
        "Whose processor compresses.",
        (
            ("client", "This machine's: everything is sent as it is, the server is spared."),
            (
                "server",
                "The server's: less goes over the network, and its processor is busy; PostgreSQL "
                "15 and later.",
            ),
        ),
    ),
    Choice(
        "level",
        "--compress",
        "How hard: gzip 1 to 9, lz4 1 to 12, zstd 1 to 22. A higher one is a little smaller for "
        "much more processor time. Empty: the method's own.",
    ),
    Choice(
        "wal_method",
        "--wal-method",
        "The WAL that the backup itself needs.",
        (
            ("stream", "Sent beside the files over a second connection: nothing can be recycled."),
            (
                "fetch",
                "Collected at the end: one connection, but it fails if the server has recycled "
                "the WAL by then.",
            ),
            ("none", "Left to the archive: without the archive the backup is worth nothing."),
        ),
    ),
    Choice(
        "checkpoint",
        "--checkpoint",
        "A backup begins with a checkpoint.",
        (
            (
                "auto",
                "At once where little was written since the last one, else gently.",
            ),
            ("spread", "Waits for a gentle one: several minutes without a byte, no burst of I/O."),
            ("fast", "At once: the server writes all it has in memory as fast as it can."),
        ),
    ),
    Choice(
        "max_rate",
        "--max-rate",
        "Bytes a second that the server reads at most, such as 50M: longer, but gentle. WAL is not "
        "counted.",
    ),
    Choice("label", "--label", "A word of yours, kept in backup_label and shown in the catalog."),
    Choice(
        "tablespaces",
        "--tablespace",
        "For plain backups: where a tablespace's files go, as LOCATION=DIRECTORY. Without it they "
        "go beside the backup.",
    ),
    Choice(
        "incremental",
        "--incremental",
        "Only what has changed since another backup (PostgreSQL 17, summarize_wal = on). Smaller; "
        "but every link of the chain must be kept, and a restore combines them.",
        (
            ("no", "Everything: needs nothing but itself."),
            ("newest", "Upon the newest whole one of this server: least to copy."),
            ("chosen", "Upon one of your choice: the older it is, the more to copy."),
        ),
    ),
    Choice(
        "parent",
        "--incremental",
        "The id of the backup to build upon, or a beginning of it. It must have a manifest and be "
        "kept as long as this one.",
    ),
    Choice(
        "manifest_checksums",
        "--manifest-checksums",
        "How each file is recorded in the manifest, for finding damage later.",
        (
            ("CRC32C", "Finds damage, costs next to nothing."),
            (
                "SHA256",
                "Also finds forgery, if the manifest is kept elsewhere; costs processor time.",
            ),
            ("SHA224", "As SHA256, shorter."),
            ("SHA384", "As SHA256, longer."),
            ("SHA512", "As SHA256, longest; faster than SHA256 without hardware for that."),
            ("NONE", "Sizes only: damage inside a file stays unseen."),
        ),
    ),
    Choice(
        "verify",
        "--no-verify",
        "Read the backup again at its end and compare it with its manifest: costs a second "
        "reading, and is the only way to know.",
        (
            ("yes", "Only what is whole gets its name and a place in the catalog."),
            ("no", "Sooner done; whether it is whole shows at the restore, or by pgrescue verify."),
        ),
    ),
)


def choice(name: str) -> Choice:
    """One of them."""
    return next(choice for choice in CHOICES if choice.name == name)


def compression_problem(
    compression: Compression, server_major: int, wal_compressions: tuple[str, ...]
) -> str | None:
    """Why this compression cannot be had, or None."""
    method, side, level = compression.method, compression.side, compression.level
    if method == "none":
        return None
    low, high = LEVELS[method]
    if level is not None and not low <= level <= high:
        return f"{method} has levels {low} to {high}, not {level}."
    if server_major < CLIENT_LZ4_SINCE and (side == "server" or method in ("lz4", "zstd")):
        return f"PostgreSQL {server_major} compresses with gzip on the client only."
    if side == "server" and method in ("lz4", "zstd") and method not in wal_compressions:
        return f"The server was built without {method}."
    return None
