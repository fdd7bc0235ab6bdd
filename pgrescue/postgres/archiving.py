"""How a server hands its WAL to an archive so that none of it is lost or overwritten.

Manual chapter "Setting Up WAL Archiving": an archive_command must be durable, refuse to overwrite,
and take it for a success if the very same file is there already.
"""

from __future__ import annotations

import shlex
from hashlib import sha256

_LONGEST_SLOT = 63
MAX_EXPANDED = 1023
"""Bytes at which servers before 16 cut the expanded command."""


def archive_command(directory: str) -> str:
    """Copies a segment under a temporary name, syncs it, renames it, syncs the directory.

    A segment that is there already with the same content counts as archived once it is synced, too:
    the server may have crashed before it could note its success. One with another content is never
    overwritten, not even by two servers at once, whose temporary names differ: `mv -n` leaves its
    file then. The directory is named once only, since servers cut long commands.
    """
    target = shlex.quote(directory).replace("%", "%%") + "/%f"
    copy = (
        't="$1.$$.tmp"; rm -f "$1".*tmp; '
        'cp %p "$t" && sync "$t" && mv -nT "$t" "$1" && test ! -e "$t"'
    )
    there, then = 'cmp -s %p "$1"', 'sync "$1" "${1%%/*}"'
    return f'set -- {target}; if test -f "$1"; then {there}; else {copy}; fi && {then}'


def receivewal_slot(cluster: str) -> str:
    """The replication slot of a cluster's pg_receivewal: letters, digits and underscores, 63 bytes.

    A long name is cut, and told from others by its hash.
    """
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in cluster.lower())
    slot = f"pgrescue_{plain}"
    if len(slot) <= _LONGEST_SLOT:
        return slot
    mark = sha256(cluster.encode()).hexdigest()[:8]
    return f"{slot[: _LONGEST_SLOT - 9]}_{mark}"


def receivewal_unit(
    *, cluster: str, directory: str, bin_directory: str, conninfo: str, account: str, slot: str
) -> str:
    """A systemd unit for pg_receivewal, which takes WAL as it is written instead of by segments.

    With a slot the server keeps what has not been received yet.
    """
    program = _for_systemd(f"{bin_directory}/pg_receivewal")
    arguments = [
        f"--dbname={conninfo}",
        f"--directory={directory}",
        f"--slot={slot}",
        "--synchronous",
        "--no-password",
        "--verbose",
    ]
    line = " ".join([program, *map(_for_systemd, arguments)])
    create = " ".join(
        [program, *map(_for_systemd, (*arguments[:3], "--create-slot", "--if-not-exists"))]
    )
    return f"""\
[Unit]
Description=Receive the WAL of the PostgreSQL cluster {cluster}
After=network-online.target
Wants=network-online.target

[Service]
User={account}
ExecStartPre={create}
ExecStart={line}
Restart=always
RestartSec=5
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def _for_systemd(word: str) -> str:
    """One argument as systemd.service(5) reads it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(c in escaped for c in " \t'\";") else escaped
