"""The pg_basebackup command, as the client's version wants it (`pg_basebackup.c`)."""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.backup.choices import CLIENT_LZ4_SINCE, MANIFEST_SINCE
from pgrescue.config.backup_request import BackupRequest
from pgrescue.postgres.basebackup_options import Compression


def basebackup_command(
    request: BackupRequest,
    *,
    program: str,
    conninfo: str,
    directory: str,
    label: str,
    server_major: int,
    tablespaces: Sequence[tuple[str, str]] = (),
    parent_manifest: str | None = None,
) -> tuple[str, ...]:
    """The program and its arguments. It never asks for a password.

    `tablespaces`: the location of each, and where its files go instead.
    """
    arguments = [
        program,
        f"--dbname={conninfo}",
        f"--pgdata={directory}",
        f"--format={request.format}",
        f"--wal-method={request.wal_method}",
        f"--checkpoint={request.checkpoint}",
        f"--label={label}",
        "--progress",
        "--verbose",
        "--no-password",
    ]
    arguments += _compression(request.compression, server_major)
    if request.max_rate is not None:
        arguments.append(f"--max-rate={max(request.max_rate // 1024, 1)}k")
    if server_major >= MANIFEST_SINCE:
        arguments.append(f"--manifest-checksums={request.manifest_checksums}")
    for mapping in tablespaces:
        old, new = (path.replace("=", r"\=") for path in mapping)
        arguments.append(f"--tablespace-mapping={old}={new}")
    if parent_manifest is not None:
        arguments.append(f"--incremental={parent_manifest}")
    return tuple(arguments)


def _compression(compression: Compression, server_major: int) -> list[str]:
    if compression.method == "none":
        return []
    level = compression.level
    if server_major < CLIENT_LZ4_SINCE:
        return ["--gzip"] if level is None else [f"--compress={level}"]
    detail = "" if level is None else f":{level}"
    return [f"--compress={compression.side}-{compression.method}{detail}"]
