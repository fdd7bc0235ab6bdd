"""Backups over TLS, as libpq does it: the server proves who it is, the client by a certificate."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from tests.support.backups import ask, take
from tests.support.cluster import Workspace
from tests.support.refused import refused
from tests.support.source import Source

pytestmark = pytest.mark.server

REFUSED = 3
ROLE = "replicator"
HBA = "hostssl replication,all replicator 127.0.0.1/32 cert\n"


class Certificates:
    """An authority of our own, with what it has signed; made by openssl."""

    def __init__(self, place: Path, source: Source) -> None:
        self.place = place
        self._source = source
        place.mkdir(mode=0o755)
        self._make("ca", "/CN=authority", "-x509", "-days", "2")
        self.signed("server", "/CN=127.0.0.1", "subjectAltName=IP:127.0.0.1")
        self.signed("client", f"/CN={ROLE}", "subjectAltName=DNS:client")

    def signed(self, name: str, subject: str, names: str) -> None:
        self._make(name, subject)
        extensions = self.place / f"{name}.ext"
        extensions.write_text(names + "\n")
        self._openssl(
            *("x509", "-req", "-in", self.file(f"{name}.req"), "-days", "2", "-CAcreateserial"),
            *("-CA", self.file("ca.req"), "-CAkey", self.file("ca.key")),
            *("-extfile", str(extensions), "-out", self.file(f"{name}.crt")),
        )

    def file(self, name: str) -> str:
        return str(self.place / name)

    def _make(self, name: str, subject: str, *options: str) -> None:
        key = self.file(f"{name}.key")
        new = ("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", subject)
        self._openssl(*new, *options, "-out", self.file(f"{name}.req"))
        os.chmod(key, 0o600)
        account = self._source.sandbox.account
        os.chown(key, account.uid, account.gid)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(("openssl", *arguments), check=True, capture_output=True)


@pytest.fixture(scope="module")
def source(binaries_by_origin: dict[Origin, ServerBinaries]) -> Iterator[Source]:
    """A server that was built with TLS; the embedded one is not."""
    if shutil.which("openssl") is None or "installed" not in binaries_by_origin:
        pytest.skip("needs openssl and an installed server")
    workspace = Workspace.make()
    try:
        yield Source.make(
            workspace, binaries_by_origin["installed"], settings={"listen_addresses": "127.0.0.1"}
        )
    finally:
        workspace.destroy()


@pytest.fixture(scope="module")
def certificates(source: Source) -> Certificates:
    """The server uses its certificate, and lets the role in by the client's only."""
    made = Certificates(source.workspace.path / "tls", source)
    data = source.sandbox.data
    hba = data / "pg_hba.conf"
    hba.write_text(HBA + hba.read_text())
    source.sandbox.sql(f"create role {ROLE} login replication; grant pg_monitor to {ROLE};")
    for name, value in {
        "ssl_cert_file": made.file("server.crt"),
        "ssl_key_file": made.file("server.key"),
        "ssl_ca_file": made.file("ca.req"),
        "ssl": "on",
    }.items():
        source.sandbox.sql(f"alter system set {name} = '{value}'")
    source.sandbox.sql("select pg_reload_conf()")
    return made


def over_tls(source: Source, certificates: Certificates, authority: str = "ca.req") -> str:
    words = {
        "host": "127.0.0.1",
        "port": str(source.sandbox.endpoint.port),
        "user": ROLE,
        "sslmode": "verify-full",
        "sslrootcert": certificates.file(authority),
        "sslcert": certificates.file("client.crt"),
        "sslkey": certificates.file("client.key"),
    }
    return "--source=" + " ".join(f"{key}={value}" for key, value in words.items())


def test_both_sides_prove_who_they_are(source: Source, certificates: Certificates) -> None:
    backup = take(source.workspace, over_tls(source, certificates))
    assert backup.verified


def test_a_server_that_another_authority_vouches_for_is_refused(
    source: Source, certificates: Certificates
) -> None:
    completed = ask(source.workspace, over_tls(source, certificates, authority="client.crt"))
    refused(completed, REFUSED, "certificate verify failed")
