"""What becomes of the old data: kept until it is discarded, deleted only when asked for by name."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path

import pytest

from pgrescue.demo.processes import stop_servers_below
from tests.support.command import finished
from tests.support.places import Place
from tests.support.runs import status
from tests.support.source import Source

pytestmark = pytest.mark.server


def beside(source: Source) -> set[str]:
    """What lies beside the data directory."""
    return set(os.listdir(source.sandbox.directory))


def test_discard_deletes_exactly_the_set_aside_copy(any_victim: Source) -> None:
    names = beside(any_victim)
    any_victim.sandbox.create_tablespace("fast")
    any_victim.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    any_victim.backup("with-tablespace", "-Ft", "-z")
    last = finished(any_victim.restore())
    aside = Path(str(last["set_aside"]))
    assert aside.is_dir()
    refused = any_victim.workspace.run("discard")
    assert refused.returncode == 3, "nothing is deleted without a yes"
    for place in (aside, *aside_tablespace(any_victim)):
        shown = rf"^{re.escape(str(place))}: [0-9.]+ [KM]iB in [0-9,]+ files, set aside .* ago \(20"
        assert re.search(shown, refused.stderr, re.M), refused.stderr
    assert aside.is_dir()
    discarded = any_victim.workspace.run("discard", "--yes", "--json", check=True)
    last = finished(discarded)
    assert (last["state"], last["set_aside"]) == ("succeeded", None)
    assert beside(any_victim) == names
    assert len(os.listdir(any_victim.sandbox.tablespaces / "fast")) == 1
    assert any_victim.place.rows() == any_victim.log.expected("latest")
    assert any_victim.place.sql("select n from elsewhere") == ["1"]
    assert any_victim.workspace.run("undo", "--yes").returncode == 2
    assert any_victim.workspace.run("discard", "--yes").returncode == 2


def aside_tablespace(source: Source) -> list[Path]:
    """The old version directories of tablespaces that are set aside."""
    return list(source.sandbox.tablespaces.glob("*/PG_*.pgrescue-*"))


def test_discard_spares_what_is_in_use_or_not_its_own(any_victim: Source) -> None:
    workspace, sandbox = any_victim.workspace, any_victim.sandbox
    aside = Place(Path(str(finished(any_victim.restore())["set_aside"])), sandbox)
    aside.start("port=1", f"unix_socket_directories={aside.data}", "archive_mode=off")
    refused = workspace.run("discard", "--yes", "--json")
    assert refused.returncode == 3
    assert "A server runs in" in refused.stderr
    assert aside.is_running
    stop_servers_below(aside.data)

    kept = aside.data.with_name("kept-by-hand")
    aside.data.rename(kept)
    aside.data.mkdir()
    (aside.data / "precious").write_text("not ours")
    refused = workspace.run("discard", "--yes", "--json")
    assert refused.returncode == 3
    assert "is not what the run" in refused.stderr
    assert (aside.data / "precious").read_text() == "not ours"
    shutil.rmtree(aside.data)
    kept.rename(aside.data)

    assert finished(workspace.run("undo", "--yes", "--json"))["state"] == "undone"
    assert any_victim.place.rows() == any_victim.log.expected("latest")


@pytest.mark.slow
def test_discard_waits_for_the_end_of_the_run(any_victim: Source) -> None:
    any_victim.restore("--to-xid", str(any_victim.log.epochs[3].xid))
    assert status(any_victim.workspace)["state"] == "waiting"
    refused = any_victim.workspace.run("discard", "--yes")
    assert refused.returncode == 3
    any_victim.workspace.run("undo", "--yes", check=True)
    assert any_victim.place.rows() == any_victim.log.expected("latest")


def test_deleting_needs_the_clusters_name(any_victim: Source) -> None:
    names = beside(any_victim)
    for given in (("--yes",), ("--confirm", "elsewhere/main"), ()):
        refused = any_victim.workspace.run("restore", "--old-data", "delete", *given)
        assert refused.returncode == 3
        assert f"{platform.node()}/main" in refused.stderr
    assert any_victim.place.rows() == any_victim.log.expected("latest")
    assert beside(any_victim) == names


def test_deleting_when_asked_for_by_name(any_victim: Source) -> None:
    confirm = ("--confirm", f"{platform.node()}/main")
    completed = any_victim.workspace.run(
        "restore", "--old-data", "delete", *confirm, "--json", check=True
    )
    assert finished(completed)["set_aside"] is None
    assert any_victim.place.rows() == any_victim.log.expected("latest")
    assert not list(any_victim.sandbox.directory.glob("data.pgrescue-*Z"))
    assert any_victim.workspace.run("undo", "--yes").returncode == 2
    assert any_victim.place.rows() == any_victim.log.expected("latest")
