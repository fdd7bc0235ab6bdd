"""Writing a configuration file."""

from __future__ import annotations

import os
import tempfile
from dataclasses import fields
from pathlib import Path

import tomli_w

from pgrescue.config.backup_request import BackupRequest
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.errors import UsageError
from pgrescue.postgres.basebackup_options import compression_text, rate_text
from pgrescue.postgres.service import ServiceSpec

_Settings = Config | ClusterConfig | RetentionPolicy | ServiceSpec


def render_config(config: Config) -> str:
    """The TOML text of a configuration; keys that have their default value are left out."""
    values = _changed(config, leave_out=("path", "clusters"))
    values["clusters"] = {name: _cluster(cluster) for name, cluster in config.clusters.items()}
    return tomli_w.dumps(values)


def write_config(path: Path, text: str) -> None:
    """Put the text into a new file, whole or not at all, readable by its owner only.

    Missing directories above it are made. Raises `UsageError` if the file is already there or
    cannot be written.
    """
    ensure_absent(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new(path, text)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written.",
            str(error.strerror or error),
            next_steps=("write to --output FILE",),
        ) from error


def ensure_absent(path: Path) -> None:
    """Raises `UsageError` if something is at this path."""
    if os.path.lexists(path):
        raise UsageError(
            f"{path} is already there.",
            "An existing configuration is never overwritten.",
            next_steps=(f"move it away: mv {path} {path}.old", "or write to --output FILE"),
        )


def _write_new(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # A hard link, unlike a rename, fails if the name is taken.
        os.link(temporary, path)
    finally:
        os.unlink(temporary)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _cluster(cluster: ClusterConfig) -> dict[str, object]:
    values = _changed(cluster, leave_out=("name", "service", "backup", "retention"))
    if cluster.backup != BackupRequest():
        values["backup"] = _backup(cluster.backup)
    if not cluster.retention.keeps_everything:
        values["retention"] = _changed(cluster.retention, leave_out=())
    values["service"] = {"kind": cluster.service.kind} | _changed(
        cluster.service, leave_out=("kind",)
    )
    return values


def _backup(chosen: BackupRequest) -> dict[str, object]:
    usual = BackupRequest()
    values: dict[str, object] = {}
    for name, text in (("compression", compression_text), ("max_rate", rate_text)):
        value = getattr(chosen, name)
        if value != getattr(usual, name):
            values["compress" if name == "compression" else name] = text(value)
    for name in (
        "source",
        "destination",
        "name",
        "format",
        "wal_method",
        "checkpoint",
        "label",
        "manifest_checksums",
        "tablespaces",
        "verify",
    ):
        if getattr(chosen, name) != getattr(usual, name):
            values[name] = getattr(chosen, name)
    return values


def _changed(item: _Settings, leave_out: tuple[str, ...]) -> dict[str, object]:
    """The fields of a dataclass that differ from their defaults, as TOML takes them."""
    return {
        field.name: _plain(getattr(item, field.name))
        for field in fields(item)
        if field.name not in leave_out and getattr(item, field.name) != field.default
    }


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
