"""Why pg_basebackup failed, in words that lead on."""

from __future__ import annotations

from pgrescue.backup.progress import complaint
from pgrescue.errors import StepFailed

_KNOWN: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("No space left on device", "disk quota exceeded", "Disk quota exceeded"),
        "There is no room left for the backup.",
        "make room, or choose another --destination or a stronger --compress",
    ),
    (
        ("no password supplied", "password authentication failed", "fe_sendauth"),
        "The server wants another password.",
        "put it into the account's ~/.pgpass (host:port:database:user:password)",
    ),
    (
        ("no pg_hba.conf entry", "pg_hba.conf rejects"),
        "pg_hba.conf lets no replication connection through.",
        "add a 'replication' line to pg_hba.conf, then: select pg_reload_conf()",
    ),
    (
        (
            "must be superuser or replication role",
            "permission denied to start WAL sender",
            "must be superuser or have the REPLICATION",
        ),
        "The role may not replicate.",
        "alter role ROLE replication",
    ),
    (
        # Since 17 the setting's name is quoted.
        ("requested standby connections exceeds",),
        "No WAL sender is free.",
        "raise max_wal_senders (restart), or end one: select * from pg_stat_replication",
    ),
    (
        ("all replication slots are in use",),
        "No replication slot is free.",
        "raise max_replication_slots (restart), or drop one that nobody uses",
    ),
    (
        (
            "server closed the connection unexpectedly",
            "could not read COPY data",
            "could not receive data",
            "unexpected termination of replication stream",
            "terminating connection",
            "SSL SYSCALL error",
        ),
        "The connection to the server was lost.",
        "look at the server's log and the network",
    ),
    (
        ("has already been removed", "could not find WAL file"),
        "WAL that the backup needs was recycled before it was sent.",
        "--wal-method stream",
    ),
    (
        ("checksum verification failure", "checksum verification failed"),
        "Pages in the server's own files are damaged.",
        "look for 'checksum' in the server's log: which file? The last good backup has it whole",
    ),
    (
        (
            "WAL summar",
            "incremental backups cannot be taken",
            "found in manifest, but not in this server's history",
            "manifest requires WAL from",
        ),
        "The server cannot tell what has changed since the parent.",
        "take a full backup",
    ),
    (
        ("standby was promoted during online backup", "full_page_writes=off was replayed"),
        "The standby changed while it was backed up: the backup is invalid.",
        "take it again",
    ),
)


def take_failed(exit_code: int, output: str, unchanged: str) -> StepFailed:
    """The error for a pg_basebackup that has ended with this exit code and these last words."""
    error, more = complaint(output)
    title = "pg_basebackup could not take the backup."
    step = "look at its words: l in the UI, or tool.log in the run's directory"
    for words, meaning, way_on in _KNOWN:
        if any(word in output for word in words):
            title, step = meaning, way_on
            break
    said = error or f"pg_basebackup ended with exit code {exit_code} and gave no reason"
    return StepFailed(
        title,
        f"{said}. {more}".strip(),
        unchanged=unchanged,
        next_steps=(step, "then take it again: pgrescue resume"),
    )
