"""Names that would be commands, markup or orders to a terminal, in restores on real servers."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.postgres.postmaster import find_postmaster
from tests.e2e.conftest import SourceFactory
from tests.support.by_hand import run_by_hand, script_of
from tests.support.command import document, finished
from tests.support.places import Place, free_port
from tests.support.refused import refused
from tests.support.source import Source

pytestmark = pytest.mark.server

PWNED = Path("/pwned-by-a-name")
COMMANDS = f"ts\ntouch {PWNED.name}\n'; touch {PWNED.name}; '\nEND_OF_FILE\ntouch {PWNED.name} #"
ESCAPES = "\x1b]0;owned\x07\x9b2J\u202e"
MARKUP = "|<img src=x>`![a](http://b)`\n# head"


@pytest.fixture(autouse=True)
def nothing_was_obeyed() -> object:
    """No name has been taken for a command, wherever the shell was."""
    yield
    found = [PWNED, Path.cwd() / PWNED.name]
    obeyed = [path for path in found if path.exists()]
    for path in obeyed:
        path.unlink()
    assert obeyed == []


def tablespace_at(source: Source, directory: bytes) -> Path:
    """A tablespace in a directory of that name, made by a client that knows no encodings."""
    path = Path(os.fsdecode(os.fsencode(source.sandbox.tablespaces) + b"/" + directory))
    path.mkdir(mode=0o700)
    os.chown(path, source.sandbox.account.uid, source.sandbox.account.gid)
    source.sandbox.sql(
        "create database ascii encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'"
    )
    execute(source, b"create tablespace odd location E'%s'" % directory_literal(path))
    return path


def directory_literal(path: Path) -> bytes:
    return os.fsencode(path).replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"'", b"\\'")


def execute(source: Source, statement: bytes) -> None:
    """Run a statement of any bytes as the server's own account."""
    postmaster = find_postmaster(source.sandbox.data)
    assert postmaster is not None
    with (
        source.sandbox.account.assumed(),
        psycopg.connect(
            host=postmaster.socket_directory,
            port=postmaster.port,
            user="postgres",
            dbname="ascii",
            client_encoding="SQL_ASCII",
            autocommit=True,
        ) as connection,
    ):
        connection.execute(statement)


def is_harmless(text: str) -> bool:
    return text.replace("\n", "").isprintable()


@pytest.mark.slow
def test_tablespace_whose_name_has_commands_and_lines(
    any_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    """As pgrescue does it, and as its script does."""
    source = source_factory(any_binaries)
    name = COMMANDS.replace("'", "").encode()  # PostgreSQL forbids quotes in a location
    path = tablespace_at(source, name)
    source.sandbox.sql("create table elsewhere tablespace odd as select 1 as n")
    source.backup("nightly", "-Ft", "-z", "-Xs")
    source.log.mark("after the backup")
    source.sandbox.switch_wal()
    for form in ("text", "markdown"):
        shown = source.workspace.run("plan", "--format", form, check=True).stdout
        assert is_harmless(shown)
    source.restore()
    assert source.place.sql("select n from elsewhere") == ["1"]
    assert source.place.rows() == source.log.expected("latest")
    source.workspace.run("undo", "--yes", check=True)
    assert source.place.sql("select n from elsewhere") == ["1"]
    source.workspace.run("discard", "--yes", check=True)
    run_by_hand(script_of(source))
    assert source.place.sql("select n from elsewhere") == ["1"]
    assert len(list(path.glob("PG_*"))) == 2, "the new one and the one that was set aside"


@pytest.mark.slow
def test_tablespace_whose_name_is_not_utf8(
    any_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    """The cluster's own is set aside and put back under its very bytes; what a backup's map names
    so is refused with a reason."""
    source = source_factory(any_binaries)
    source.backup("before", "-Ft", "-z", "-Xs")
    source.log.mark("after the backup")
    path = tablespace_at(source, b"r\xe9sum\xe9-\xff")
    source.sandbox.sql("create table elsewhere tablespace odd as select 1 as n")
    source.sandbox.switch_wal()
    options = ("--backup", source.id_of("before"), "--to", "immediate", "--action", "promote")
    for form in ("text", "markdown", "shell", "json"):
        planned = source.workspace.run("plan", *options, "--format", form, check=True)
        assert "Traceback" not in planned.stderr
    last = finished(source.restore(*options))
    assert last["state"] == "succeeded"
    assert [one.name for one in path.glob("PG_*.pgrescue-*")], "set aside"
    assert (
        finished(source.workspace.run("undo", "--yes", "--json", check=True))["state"] == "undone"
    )
    assert source.place.sql("select n from elsewhere") == ["1"]
    source.backup("after", "-Ft", "-z", "-Xs")
    listed = document(source.workspace.run("catalog", "--json", check=True))["backups"]
    (unusable,) = [one for one in listed if not one["usable"]]
    assert "tablespace_map_damaged" in [one["code"] for one in unusable["problems"]]


@pytest.mark.slow
def test_names_in_the_server(any_binaries: ServerBinaries, source_factory: SourceFactory) -> None:
    """Of databases, tablespaces and labels: people get letters, Markdown gets no markup."""
    source = source_factory(any_binaries)
    tablespace_at(source, b"plain")
    quoted = (ESCAPES + MARKUP).replace('"', '""')
    source.sandbox.sql(f'alter tablespace odd rename to "{quoted[:20]}"')
    source.sandbox.sql(f'create database "{quoted[:60]}"')
    execute(source, b'create database "r\xe9sum\xe9" template ascii')
    source.backup(
        "nightly", "-Ft", "-z", "-Xs", "-l", f"{ESCAPES}$(touch {PWNED.name}){MARKUP[:14]}"
    )
    source.log.mark("after the backup")
    source.sandbox.switch_wal()
    assert is_harmless(source.workspace.run("catalog", check=True).stdout)
    last = finished(source.restore("--to-xid", str(source.log.epochs[-1].xid)))
    assert last["state"] == "waiting"
    assert any("not UTF-8" in note for note in last["notes"])
    shown = source.workspace.run("status", check=True).stdout
    assert is_harmless(shown)
    assert "not UTF-8" in shown
    source.workspace.run("resume", "--yes", check=True)
    report = source.workspace.state / "runs" / str(last["run"]) / "report.md"
    text = report.read_text()
    assert is_harmless(text)
    assert "<img" not in text.replace(r"\<img", "")
    assert source.place.rows() == source.log.expected("latest")


@pytest.mark.parametrize("length", [pytest.param(230, marks=pytest.mark.slow), 255])
def test_name_as_long_as_names_can_be(any_victim: Source, length: int) -> None:
    """What is made beside it would have a longer one: said before anything is done."""
    into = any_victim.clone_path().parent / ("n" * length)
    where = ("--into", str(into), "--port", str(free_port()))
    completed = any_victim.restore(*where, check=False)
    refused(completed, 3, "255 bytes")
    assert list(into.parent.iterdir()) == []


def test_data_directory_with_a_line_break(any_victim: Source) -> None:
    """No server could run in it: its postmaster.pid would say something else."""
    into = any_victim.clone_path().parent / f"one\ntouch {PWNED.name}"
    completed = any_victim.restore("--into", str(into), "--port", str(free_port()), check=False)
    refused(completed, 3, "line break")
    assert list(into.parent.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["-rf", pytest.param("--help", marks=pytest.mark.slow), "r\udce9sum\udcff"]
)
def test_clone_with_a_name_like_an_option_or_not_utf8(any_victim: Source, name: str) -> None:
    into = any_victim.clone_path().parent / name
    port = free_port()
    completed = any_victim.restore("--into", str(into), "--port", str(port), check=False)
    assert finished(completed)["state"] == "succeeded", completed.stderr
    clone = Place(into, any_victim.sandbox)
    assert clone.rows() == any_victim.log.expected("latest")
    clone.remove()
