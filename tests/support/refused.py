"""What every refusal has in common: exit code, an error that tells what to do, nothing touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.postmaster import find_postmaster
from tests.support.command import Completed
from tests.support.files import differences, file_tree

STREAMING = ("restore", "backup", "attach", "resume", "undo", "discard")

_CHANGING = ("pg_wal", "pg_stat_tmp", "pg_subtrans")
"""What an idle server writes by itself."""


def refused(completed: Completed, code: int, *words: str) -> dict[str, Any]:
    """The error of a command that ended with `code` and was given `--json`.

    Checks the form that every such error has: one JSON object on the last line, a title, a cause
    or a next step, the same words for people on standard error, and all of `words` in there.
    """
    assert completed.returncode == code, (completed.returncode, completed.stdout, completed.stderr)
    assert "Traceback" not in completed.stderr, completed.stderr
    last = json.loads(completed.stdout.splitlines()[-1])
    assert last["schema"] == 1
    error = last["error"]
    assert isinstance(error, dict), last
    if set(STREAMING) & set(completed.args):
        assert last["event"] == "finished"
        assert last["state"] == "failed"
    assert error["title"]
    assert error["cause"] or error["next"], "an error says why, or what to do"
    assert error["title"] in completed.stderr
    told = " ".join([error["title"], error["cause"], *error["next"]])
    for word in words:
        assert word in told, (word, told)
    return dict(error)


@contextmanager
def unchanged(sandbox: Sandbox, *, may_hold_wal: bool = False) -> Iterator[None]:
    """Whatever happens inside leaves the cluster's files, its place and its server as they are.

    `may_hold_wal`: what a stop may remove has a second name beside them afterwards.
    """
    before, server = file_tree(sandbox.data, _CHANGING), find_postmaster(sandbox.data)
    beside, place = list(sandbox.directory.iterdir()), sandbox.data.stat().st_ino
    yield
    assert sandbox.data.stat().st_ino == place
    made = {*sandbox.directory.iterdir()} ^ {*beside}
    if may_hold_wal:
        made -= {path for path in made if _holds_its_wal(path, sandbox.data / "pg_wal")}
    assert made == set()
    assert differences(before, file_tree(sandbox.data, _CHANGING)) == []
    after = find_postmaster(sandbox.data)
    assert (after and after.pid) == (server and server.pid)


def _holds_its_wal(path: Path, pg_wal: Path) -> bool:
    inside = [*path.rglob("*")]
    names = {one.name for one in inside if one.parent == path / "held"}
    return (
        path.name.endswith("-wal")
        and len(inside) == 1 + len(names)
        and names <= {one.name for one in pg_wal.iterdir()}
    )
