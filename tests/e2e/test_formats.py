"""Every form that `pg_basebackup` can give a backup restores to the same rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.support.cluster import Workspace
from tests.support.source import Source

pytestmark = pytest.mark.server

COMPRESSIONS = ("none", "gzip", "server-gzip", "lz4", "server-lz4", "zstd", "server-zstd")
WAL_METHODS = ("stream", "fetch", "none")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to take a base backup."""

    form: str
    compression: str = "none"
    wal: str = "stream"
    manifest: bool = True

    def __str__(self) -> str:
        manifest = "manifest" if self.manifest else "no-manifest"
        return f"{self.form}-{self.compression}-{self.wal}-{manifest}"

    @property
    def options(self) -> tuple[str, ...]:
        """As pg_basebackup takes them."""
        compression = () if self.compression == "none" else (f"--compress={self.compression}",)
        manifest = () if self.manifest else ("--no-manifest",)
        return (f"-F{self.form[0]}", f"-X{self.wal}", *compression, *manifest)

    def is_possible_with(self, binaries: ServerBinaries) -> bool:
        """The embedded server is built without lz4 and zstd."""
        return binaries.origin == "installed" or self.compression in (
            "none",
            "gzip",
            "server-gzip",
        )


COMMON = (
    Variant("tar", "gzip"),
    Variant("tar", "gzip", "fetch", manifest=False),
    Variant("tar", "server-gzip", "none"),
    Variant("tar", "none"),
    Variant("tar", "none", "none", manifest=False),
    Variant("tar", "none", "fetch"),
    Variant("plain"),
    Variant("plain", "server-gzip", "fetch"),
    Variant("plain", "none", "none", manifest=False),
    Variant("tar", "lz4"),
    Variant("tar", "server-lz4", "fetch"),
    Variant("tar", "zstd", "none"),
    Variant("tar", "server-zstd", manifest=False),
)
EVERY = tuple(
    itertools.starmap(
        Variant,
        (
            *itertools.product(("tar",), COMPRESSIONS, WAL_METHODS, (True, False)),
            *itertools.product(
                ("plain",), ("none", "server-gzip", "server-zstd"), WAL_METHODS, (True, False)
            ),
        ),
    )
)


def marks_of(variant: Variant) -> tuple[pytest.MarkDecorator, ...]:
    """What only one of the servers can do must not be left to the other, every day."""
    if variant not in COMMON:
        return (pytest.mark.slow,)
    everywhere = variant.compression in ("none", "gzip", "server-gzip")
    return () if everywhere else (pytest.mark.both_servers,)


CASES = [pytest.param(variant, id=str(variant), marks=marks_of(variant)) for variant in EVERY]


@pytest.fixture(scope="module")
def source(server_binaries: ServerBinaries, shared_workspace: Workspace) -> Iterator[Source]:
    """A cluster whose backups are taken when they are needed."""
    source = Source.make(shared_workspace, server_binaries, name=server_binaries.origin)
    yield source
    source.sandbox.stop()


def backup_of(source: Source, variant: Variant) -> str:
    """Take the backup, with epochs before and after it that only it and the archive hold."""
    source.log.mark("before")
    source.backup(str(variant), *variant.options)
    source.log.mark("after")
    source.sandbox.switch_wal()
    return source.id_of(str(variant))


@pytest.mark.parametrize("variant", CASES)
def test_every_form_of_backup_restores(source: Source, variant: Variant) -> None:
    if not variant.is_possible_with(source.sandbox.binaries):
        pytest.skip(f"this server is built without {variant.compression}")
    backup = backup_of(source, variant)
    with source.clone("--backup", backup) as clone:
        assert clone.status["state"] == "succeeded"
        assert clone.rows() == source.log.expected("latest")
        assert not clone.in_recovery()
        assert clone.sql("show archive_mode") == ["off"]
    listed = [path for path in source.sandbox.wal.iterdir() if path.name.startswith("00000002")]
    assert listed == [], "a clone leaves the cluster's archive alone"
