"""pg_basebackup is called as each version of it wants to be called."""

from __future__ import annotations

from typing import Any

import pytest

from pgrescue.errors import UsageError
from pgrescue.postgres.basebackup_options import (
    Compression,
    compression_from,
    compression_text,
    mapping_from,
    rate_from,
    rate_text,
)
from tests.support.backup_facts import ROOT, backup, facts, findings, plan_of, server

VERSIONS = range(12, 19)


def command(major: int, **choices: Any) -> list[str]:  # noqa: ANN401 - choices of any kind
    """The arguments for a server of that version."""
    return list(plan_of(facts(server(major)), **choices).work.command)


@pytest.mark.parametrize("major", VERSIONS)
def test_what_every_version_understands(major: int) -> None:
    said = command(major)
    assert said[0] == f"/usr/lib/postgresql/{major}/bin/pg_basebackup"
    assert said[2:6] == [
        f"--pgdata={ROOT}/.main-20261122T203512Z.partial",
        "--format=tar",
        "--wal-method=stream",
        "--checkpoint=fast",
    ]
    for option in ("--progress", "--verbose", "--no-password", "--label=main-20261122T203512Z"):
        assert option in said
    assert not any("compress" in option or option == "--gzip" for option in said)


@pytest.mark.parametrize("major", VERSIONS)
def test_manifests_since_13(major: int) -> None:
    said = command(major, manifest_checksums="SHA256")
    assert ("--manifest-checksums=SHA256" in said) == (major >= 13)
    assert plan_of(facts(server(major))).work.has_manifest == (major >= 13)


@pytest.mark.parametrize("major", VERSIONS)
@pytest.mark.parametrize(
    ("wanted", "before_15", "since_15"),
    [
        ("gzip", "--gzip", "--compress=client-gzip"),
        ("gzip:9", "--compress=9", "--compress=client-gzip:9"),
        ("server-gzip:1", None, "--compress=server-gzip:1"),
        ("lz4", None, "--compress=client-lz4"),
        ("zstd:3", None, "--compress=client-zstd:3"),
        ("server-zstd:3", None, "--compress=server-zstd:3"),
    ],
)
def test_compression_by_version(
    major: int, wanted: str, before_15: str | None, since_15: str
) -> None:
    of, compression = facts(server(major)), compression_from(wanted)
    found = findings(of, compression=compression).get("choice.compression")
    expected = since_15 if major >= 15 else before_15
    if expected is None:
        assert found is not None
        assert found.status == "blocker"
        assert f"PostgreSQL {major} compresses with gzip on the client only" in found.message
    else:
        assert found is None
        assert expected in command(major, compression=compression)


def test_incremental_names_the_parents_manifest() -> None:
    parent = backup()
    of = facts(server(17, {"summarize_wal": "on"}), parent=parent)
    said = plan_of(of, parent=parent.id).work.command
    assert f"--incremental={parent.path}/backup_manifest" in said


def test_rate_is_in_kilobytes() -> None:
    assert "--max-rate=51200k" in command(15, max_rate=rate_from("50M"))


def test_tablespaces_of_a_plain_backup_have_places() -> None:
    beside = f"{ROOT}/main-20261122T203512Z.tablespaces/fast"
    assert f"--tablespace-mapping=/srv/fast={beside}" in command(15, format="plain")
    chosen = {"/srv/fast": "/b/odd=name"}
    said = command(15, format="plain", tablespaces=chosen)
    assert r"--tablespace-mapping=/srv/fast=/b/odd\=name" in said
    assert not any("mapping" in option for option in command(15, format="tar"))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("none", Compression()),
        ("ZSTD:3", Compression("zstd", 3)),
        ("client-gzip", Compression("gzip")),
        ("server-lz4:12", Compression("lz4", 12, "server")),
    ],
)
def test_compression_as_people_write_it(text: str, meaning: Compression) -> None:
    assert compression_from(text) == meaning
    assert compression_from(compression_text(meaning)) == meaning


@pytest.mark.parametrize(
    "text", ["", "bzip2", "gzip:", "gzip:x", "none:1", "elsewhere-gzip", "-gzip", "zstd:-1"]
)
def test_what_is_no_compression(text: str) -> None:
    with pytest.raises(UsageError, match="no compression"):
        compression_from(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("32", 32 << 10), ("64k", 64 << 10), ("50M", 50 << 20), ("1G", 1 << 30), ("50 MB", 50 << 20)],
)
def test_rate_as_people_write_it(text: str, rate: int) -> None:
    assert rate_from(text) == rate
    assert rate_from(rate_text(rate)) == rate


@pytest.mark.parametrize("text", ["", "31k", "2G", "fast", "-5M", "1.5M"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(UsageError, match="no rate"):
        rate_from(text)


@pytest.mark.parametrize("text", ["", "/a", "a=/b", "/a=b", "=/b"])
def test_what_is_no_mapping(text: str) -> None:
    with pytest.raises(UsageError, match="no mapping"):
        mapping_from(text)
