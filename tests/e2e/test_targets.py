"""Every kind of recovery target and every action at it: exactly the right rows are there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.e2e.conftest import SourceFactory
from tests.support.cluster import Workspace
from tests.support.command import finished
from tests.support.epochs import Epoch
from tests.support.places import Place
from tests.support.source import Source

pytestmark = pytest.mark.server

BEFORE, AIM, LAST = (1, 2, 3), 5, 7
"""Epochs in the backup; the one that is aimed at; the last one."""


@dataclass(frozen=True, slots=True)
class Aim:
    """Options that aim at an epoch, and whether that epoch is then there."""

    name: str
    option: str
    value: str
    exclusive: bool = False
    last: int = AIM
    """The last epoch that must be there."""

    def options(self, source: Source) -> tuple[str, ...]:
        """The options on the command line."""
        chosen = (self.option, self.value.format_map(_Marks(source)))
        return (*chosen, "--exclusive") if self.exclusive else chosen


class _Marks(dict[str, str]):
    """What an aim's text may mention of the epoch it aims at; read from the WAL if need be."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def __missing__(self, key: str) -> str:
        epoch: Epoch = self._source.log.epochs[AIM - 1]
        if key == "commit_lsn":
            return str(self._source.commit_lsn(epoch))
        return str(getattr(epoch, key))


AIMS = (
    Aim("latest", "--to", "latest", last=LAST),
    Aim("immediate", "--to", "immediate", last=BEFORE[-1]),
    Aim("time", "--to", "{committed}"),
    Aim("time-exclusive", "--to", "{committed}", exclusive=True, last=AIM - 1),
    Aim("lsn", "--to-lsn", "{commit_lsn}"),
    Aim("lsn-exclusive", "--to-lsn", "{commit_lsn}", exclusive=True, last=AIM - 1),
    Aim("xid", "--to-xid", "{xid}"),
    Aim("xid-exclusive", "--to-xid", "{xid}", exclusive=True, last=AIM - 1),
    Aim("before-xid", "--before-xid", "{xid}", last=AIM - 1),
    Aim("name", "--to-name", "{restore_point}"),
)
ACTIONS = ("pause", "promote", "shutdown")
COMMON = {
    ("latest", "promote"),
    ("immediate", "pause"),
    ("immediate", "shutdown"),
    ("time", "promote"),
    ("time-exclusive", "pause"),
    ("lsn", "pause"),
    ("lsn-exclusive", "promote"),
    ("xid", "shutdown"),
    ("xid-exclusive", "promote"),
    ("before-xid", "pause"),
    ("name", "promote"),
}
CASES = [
    pytest.param(
        aim,
        action,
        id=f"{aim.name}-{action}",
        marks=() if (aim.name, action) in COMMON else pytest.mark.slow,
    )
    for aim, action in itertools.product(AIMS, ACTIONS)
]


def prepare(source: Source) -> Source:
    """Three epochs, a backup, four more; all archived."""
    source.log.mark()
    source.log.mark()
    source.backup("nightly", "-Ft", "-z", "-Xs")
    for _ in range(LAST - BEFORE[-1]):
        source.log.mark()
    source.sandbox.switch_wal()
    return source


@pytest.fixture(scope="module")
def running_source(
    server_binaries: ServerBinaries, shared_workspace: Workspace
) -> Iterator[Source]:
    """A cluster that goes on running while clones are made of it."""
    source = prepare(Source.make(shared_workspace, server_binaries, name=server_binaries.origin))
    yield source
    assert source.log.rows_visible() == source.log.expected("latest"), "untouched by its clones"
    source.sandbox.stop()


@pytest.mark.parametrize(("aim", "action"), CASES)
def test_clone(running_source: Source, aim: Aim, action: str) -> None:
    options = (*aim.options(running_source), "--action", action)
    with running_source.clone(*options) as clone:
        check(clone, clone.status, aim, action)


@pytest.mark.slow
@pytest.mark.parametrize(("aim", "action"), CASES)
def test_in_place(
    server_binaries: ServerBinaries, source_factory: SourceFactory, aim: Aim, action: str
) -> None:
    check_in_place(source_factory(server_binaries), aim, action)


@pytest.mark.parametrize(
    ("name", "action"), [("time", "pause"), ("xid-exclusive", "promote"), ("name", "shutdown")]
)
def test_in_place_of_a_running_cluster(
    server_binaries: ServerBinaries, source_factory: SourceFactory, name: str, action: str
) -> None:
    (aim,) = (aim for aim in AIMS if aim.name == name)
    check_in_place(source_factory(server_binaries), aim, action)


def check_in_place(source: Source, aim: Aim, action: str) -> None:
    """Restore the running cluster itself."""
    prepare(source)
    completed = source.restore(*aim.options(source), "--action", action)
    check(source.place, finished(completed), aim, action)


def check(place: Place, status: dict[str, object], aim: Aim, action: str) -> None:
    """The rows up to the aim are there, no others, and the server is in the state asked for."""
    expected = list(range(1, aim.last + 1))
    if aim.name == "latest":  # without a place to stop at, the server always opens
        action = "promote"
    assert status["error"] is None
    if action == "shutdown":
        assert status["state"] == "succeeded"
        assert not place.is_running
        # Started as it lies there, it would replay to its target and shut down once more.
        place.start("recovery_target_action=pause")
        assert place.rows() == expected
        return
    assert place.rows() == expected
    assert place.in_recovery() == (action == "pause")
    assert status["state"] == ("waiting" if action == "pause" else "succeeded")
    configured = (place.data / "postgresql.auto.conf").read_text()
    assert ("recovery_target" in configured) == (action == "pause")
