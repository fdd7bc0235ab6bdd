"""Every way to take a backup gives one that is whole and that restores to the same rows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgrescue.demo.binaries import Origin
from tests.backup.conftest import Cluster
from tests.support.backups import (
    DIGEST,
    entry,
    everything,
    fill,
    listed,
    load,
    pgbench_of,
    take,
    verdict_of_postgres,
    verified,
)
from tests.support.source import Source

pytestmark = pytest.mark.server

METHODS = ("none", "gzip", "lz4", "zstd")
TAR = (*METHODS, "server-gzip", "server-lz4", "server-zstd", "gzip:9", "server-zstd:3")
PLAIN = ("none", "server-gzip", "server-lz4", "server-zstd")
WAL_METHODS = ("stream", "fetch", "none")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to take a backup."""

    origin: Origin
    form: str
    compression: str
    wal: str

    def __str__(self) -> str:
        return f"{self.origin}-{self.form}-{self.compression}-{self.wal}"

    @property
    def options(self) -> tuple[str, ...]:
        """As pgrescue takes them."""
        return (
            f"--format={self.form}",
            f"--compress={self.compression}",
            f"--wal-method={self.wal}",
        )

    @property
    def is_possible(self) -> bool:
        """The embedded server is built without lz4 and zstd."""
        return self.origin == "installed" or not any(
            method in self.compression for method in ("lz4", "zstd")
        )


COMMON = (
    Variant("installed", "tar", "zstd", "stream"),
    Variant("embedded", "plain", "server-gzip", "fetch"),
)
ORIGINS: tuple[Origin, ...] = ("installed", "embedded")
EVERY = [
    variant
    for origin in ORIGINS
    for variant in (
        *(Variant(origin, "tar", *rest) for rest in itertools.product(TAR, WAL_METHODS)),
        *(Variant(origin, "plain", *rest) for rest in itertools.product(PLAIN, WAL_METHODS)),
    )
    if variant.is_possible
]
CASES = [
    pytest.param(variant, id=str(variant), marks=() if variant in COMMON else pytest.mark.slow)
    for variant in EVERY
]


def filled(source: Source) -> Source:
    """With pgbench's tables, one of them in a tablespace."""
    if source.sandbox.sql("select to_regclass('pgbench_history') is null") == ["t"]:
        fill(source, pgbench_of(source.sandbox.binaries))
    return source


@pytest.mark.every_day(1)
@pytest.mark.parametrize("variant", CASES)
def test_taken_verified_and_restored(cluster: Cluster, variant: Variant) -> None:
    source = filled(cluster(variant.origin))
    sandbox, workspace = source.sandbox, source.workspace
    source.log.mark("before")
    with load(source, pgbench_of(sandbox.binaries)):
        taken = take(workspace, *variant.options, f"--label={variant}")
    source.log.mark("after")
    sandbox.switch_wal()

    known = entry(workspace, taken.id)
    method = variant.compression.removeprefix("server-").partition(":")[0]
    assert known["format"] == variant.form
    assert known["compression"] == (method if variant.form == "tar" else "none")
    assert (known["usable"], known["label"], known["kind"]) == (True, str(variant), "full")
    copied = taken.path.with_name(f"{taken.path.name}.tablespaces") / "fast"
    fast = sandbox.tablespaces / "fast" if variant.form == "tar" else copied
    assert [item["path"] for item in known["tablespaces"]] == [str(fast)]
    assert taken.verified
    assert known["verified_at"] is not None

    said = verified(workspace, taken.id)
    assert (said["ok"], said["problems"], said["backup"]) == (True, [], taken.id)
    assert said["files"] > 900
    assert verdict_of_postgres(sandbox.binaries, sandbox, taken.path) in (True, None)

    truth = sandbox.sql(DIGEST)
    with source.clone("--backup", taken.id) as clone:
        assert clone.status["state"] == "succeeded"
        assert clone.rows() == source.log.expected("latest")
        assert clone.sql(DIGEST) == truth
    assert_nothing_else(source)


def assert_nothing_else(source: Source) -> None:
    """Below the directory for backups there is nothing but what the catalog lists."""
    places = {Path(known["path"]).name for known in listed(source.workspace)}
    for name in everything(source.sandbox.backups):
        assert name.removesuffix(".tablespaces") in places, name
