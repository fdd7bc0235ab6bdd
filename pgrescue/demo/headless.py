"""The story played to its end by the command line, each act compared with the truth."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from pgrescue import codec
from pgrescue.demo.directory import DemoDirectory
from pgrescue.demo.sandbox import Sandbox
from pgrescue.demo.story import Say, TableState, Truth, look
from pgrescue.errors import PgRescueError


@dataclass(frozen=True, slots=True)
class Act:
    """One command and what the shop must look like afterwards."""

    title: str
    command: tuple[str, ...]
    expected: dict[str, TableState]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one act went; without differences it went well."""

    title: str
    command: str
    exit_code: int
    differences: tuple[str, ...]


def acts(truth: Truth, just_before: tuple[str, ...]) -> tuple[Act, ...]:
    """The three acts of restoring: get the table back, take that back, recover everything.

    `just_before` are the options that the search for the incident has given.
    """
    return (
        Act(
            f"Restore to just before transaction {truth.drop_xid} dropped {truth.dropped_table}.",
            ("restore", *just_before, "--action", "promote", "--yes", "--json"),
            truth.before_drop,
        ),
        Act(
            "Undo: put the old data directory back.",
            ("undo", "--yes", "--json"),
            truth.at_end,
        ),
        Act(
            "Restore everything that the archive has.",
            ("restore", "--to", "latest", "--yes", "--json"),
            truth.at_end,
        ),
    )


def play(demo: DemoDirectory, sandbox: Sandbox, truth: Truth, say: Say) -> list[Outcome]:
    """Play the acts in order; the first that goes wrong is the last that is played."""
    just_before, search = _find(demo, truth, say)
    outcomes = [search]
    if search.differences:
        return outcomes
    for act in acts(truth, just_before):
        say(act.title)
        outcome = _perform(demo, sandbox, act, say)
        outcomes.append(outcome)
        if outcome.differences:
            break
        counts = ", ".join(f"{name} {table.rows}" for name, table in act.expected.items())
        say(f"  as it should be: {counts}")
    return outcomes


def compare(expected: dict[str, TableState], found: dict[str, TableState]) -> list[str]:
    """One line per table that is missing, new, or has other rows than expected."""
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        want, have = expected.get(name), found.get(name)
        if want == have:
            continue
        if want is None:
            lines.append(f"table {name} should not be there")
        elif have is None:
            lines.append(f"table {name} is missing")
        elif want.rows != have.rows:
            lines.append(f"table {name} has {have.rows} rows instead of {want.rows}")
        else:
            lines.append(f"table {name} has {have.rows} rows, but other content")
    return lines


def _find(demo: DemoDirectory, truth: Truth, say: Say) -> tuple[tuple[str, ...], Outcome]:
    """Look into the archive for who dropped the table; the options that stop just before."""
    title = f"Find out who dropped {truth.dropped_table}."
    say(title)
    shown, completed = _run(demo, ("incidents", "--json"), say)
    differences = _failure(completed)
    found = [] if differences else codec.loads(completed.stdout)["incidents"]
    guilty = [item for item in found if _hit(item, truth.dropped_table)]
    if not differences and [item["xid"] for item in guilty] != [truth.drop_xid]:
        differences = [f"transaction {truth.drop_xid} is not among the incidents"]
    for line in differences:
        say(f"  wrong: {line}")
    outcome = Outcome(title, shown, completed.returncode, tuple(differences))
    if differences:
        return (), outcome
    say(f"  transaction {truth.drop_xid}, at {guilty[0]['time']}")
    return tuple(guilty[0]["arguments"]), outcome


def _hit(incident: dict[str, Any], table: str) -> bool:
    names = [relation["name"] for relation in incident["relations"]]
    return incident["kind"] == "drop_table" and names == [table.rpartition(".")[2]]


def _run(
    demo: DemoDirectory, command: tuple[str, ...], say: Say
) -> tuple[str, subprocess.CompletedProcess[str]]:
    arguments = ("-c", str(demo.config), *command)
    shown = shlex.join(("pgrescue", *arguments))
    say(f"  $ {shown}")
    completed = subprocess.run(
        (sys.executable, "-m", "pgrescue", *arguments),
        env={**os.environ, "PGRESCUE_STATE": str(demo.state)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return shown, completed


def _perform(demo: DemoDirectory, sandbox: Sandbox, act: Act, say: Say) -> Outcome:
    shown, completed = _run(demo, act.command, say)
    differences = _failure(completed) or _differences(sandbox, act.expected)
    for line in differences:
        say(f"  wrong: {line}")
    return Outcome(act.title, shown, completed.returncode, tuple(differences))


def _failure(completed: subprocess.CompletedProcess[str]) -> list[str]:
    """Why the command did not do what it should, from its exit code and its last event."""
    lines = completed.stdout.splitlines()
    last = codec.loads(lines[-1]) if lines else {}
    error = last.get("error") or {}
    told = ": ".join(str(error[key]) for key in ("title", "cause") if error.get(key))
    if completed.returncode != 0:
        return [f"the command ended with {completed.returncode}. {told}".strip()]
    return [told] if told else []


def _differences(sandbox: Sandbox, expected: dict[str, TableState]) -> list[str]:
    if not sandbox.is_running():
        return ["the server does not run"]
    try:
        return compare(expected, look(sandbox))
    except PgRescueError as error:
        return [str(error)]
