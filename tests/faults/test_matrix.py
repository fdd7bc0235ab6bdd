"""The crash matrix: a run that is struck anywhere goes on, or goes back, as if nothing had been.

An undisturbed run of each kind of plan is taken down act by act: every journal record, rename, new
directory, written file, program started, signal sent. Then runs from the same beginning are struck
at these acts, exactly. After each blow `status` must tell the truth; `resume` must end in what the
undisturbed run ended in (files, modes, settings to the letter, rows, point reached; left out is
what depends on the number of starts and checkpoints, see `scene.py`); `undo` must bring back the
old cluster byte for byte, running if it ran.

What is played of the product, which would take a day: kill -9 after every journal record of every
kind, before one of the other acts of each step (by a fixed seed), and in the middle of a file.
`tar` has each of these resumed and undone; of the other kinds each has one of the two, in turn, so
that every pair of kind and step, step and way on, kind and way on is there (of `_THINNED`, which
differ from others in one thing, every other blow). SIGTERM in every step of every kind; reboots and
torn records in every other one, so that each step and each kind has them. Every day seven.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Sequence

import pytest

from tests.faults.conftest import SceneOf
from tests.faults.kinds import KINDS
from tests.faults.scene import Blow, Case, How, Scene, Then
from tests.faults.struck_runner import LARGE
from tests.faults.verdicts import SEED, not_running_again, tried

pytestmark = [pytest.mark.server, pytest.mark.faults]

THENS: tuple[Then, ...] = ("resume", "undo")
_WHOLE = ("tar",)
"""Kinds whose every record is both resumed and undone."""
_THINNED = (
    "tablespaces, old data deleted",
    "plain, old data deleted",
    "clone with tablespaces",
    "clone of plain",
    "shutdown",
    "standby",
)
_CHOSEN = 1
"""Acts of a step that are no records, for each kind."""

EVERY_DAY: tuple[tuple[str, How, str, str, int, Then], ...] = (
    ("tar", "kill", "rescue_wal", "rename", 0, "undo"),
    ("tar", "kill", "set_aside", "sync", 0, "resume"),
    ("tar", "kill", "set_aside", "record moving", 0, "undo"),
    ("tar", "server", "verify", "record step_began", 0, "resume"),
    ("tar", "term", "verify", "record step_began", 0, "resume"),
    ("running server", "kill", "set_aside", "record moved", 1, "undo"),
    ("running server", "reboot", "set_aside", "record moving", 0, "resume"),
)


_ALWAYS = ("set_aside", "combine", "promote")
"""Steps that no kind goes without where every other step is played."""


def _steps(*turns: int, end: bool = True) -> list[object]:
    """The steps of all kinds, `begin` and `end` as well; with one turn, every other one.

    Without `end` for reboots: what then starts a restored server is its service.
    """
    return [
        pytest.param(kind, step, marks=pytest.mark.slow, id=f"{kind}-{step}")
        for row, kind in enumerate(KINDS)
        for column, step in enumerate(("begin", *KINDS[kind].steps, "end"))
        if (step in _ALWAYS or (row + column) % 2 in turns) and (end or step != "end")
    ]


STEPS = _steps(0, 1)


def of_step(scene: Scene, step: str) -> list[Blow]:
    """The acts of a step."""
    return [blow for blow in scene.acts if blow.step == step]


def is_record(blow: Blow) -> bool:
    """Whether the act is the writing of a journal record."""
    return blow.what.startswith("record ")


def shared_out(blows: Sequence[Blow], kind: str, then: Then) -> list[Blow]:
    """The part of the blows after which this way is taken, so that every blow has one."""
    if kind in _WHOLE:
        return list(blows)
    share = 4 if kind in _THINNED else 2
    turn = zlib.crc32(kind.encode()) + THENS.index(then)
    return [blow for number, blow in enumerate(blows) if (number + turn) % share == 0]


def one_of_both(*about: str) -> Then:
    """The way on where only one is tried; the other with another kind, step or blow."""
    return THENS[zlib.crc32(" ".join(about).encode()) % 2]


def chosen(blows: Sequence[Blow], count: int, *about: str) -> list[Blow]:
    """Some of the blows, of as many sorts as there are; the same ones every time."""
    chance = random.Random(" ".join((str(SEED), *about)))
    mixed = chance.sample(blows, len(blows))
    seen: dict[str, int] = {}
    for blow in mixed:
        seen[blow.what] = seen.get(blow.what, 0) + 1
    turns: dict[str, int] = {}

    def turn(blow: Blow) -> int:
        turns[blow.what] = turns.get(blow.what, 0) + 1
        return turns[blow.what]

    return sorted(mixed, key=turn)[:count]


def hold(scene: Scene, blows: Iterable[Blow], how: How, then: Then) -> None:
    """Each of these blows is survived."""
    wrong = [problem for blow in blows for problem in tried(scene, blow, how, then)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("kind", "how", "step", "what", "which", "then"), EVERY_DAY)
def test_chosen_blows(
    scene_of: SceneOf, kind: str, how: How, step: str, what: str, which: int, then: Then
) -> None:
    scene = scene_of(kind)
    blows = [blow for blow in of_step(scene, step) if blow.what == what]
    if how == "half":
        blows = large_files(blows)
    hold(scene, [blows[which]], how, then)


@pytest.mark.parametrize("then", THENS)
@pytest.mark.parametrize(("kind", "step"), STEPS)
def test_killed(scene_of: SceneOf, kind: str, step: str, then: Then) -> None:
    scene = scene_of(kind)
    blows = of_step(scene, step)
    records = [blow for blow in blows if is_record(blow)]
    others = chosen([blow for blow in blows if not is_record(blow)], _CHOSEN, kind, step)
    hold(scene, shared_out([*records, *others], kind, then), "kill", then)


@pytest.mark.parametrize("then", THENS)
@pytest.mark.parametrize(
    ("kind", "step"),
    [
        pytest.param(kind.name, step, marks=pytest.mark.slow)
        for kind in KINDS.values()
        for step in ("rescue_wal", "extract", "place_wal")
        if step in kind.steps and not (step == "place_wal" and (kind.form == "plain" or kind.chain))
    ],
)
def test_killed_in_the_middle_of_a_file(
    scene_of: SceneOf, kind: str, step: str, then: Then
) -> None:
    scene = scene_of(kind)
    written = [blow for blow in of_step(scene, step) if blow.what == "write"]
    blows = chosen(large_files(written), 1, kind, step, then)
    assert blows, "no file is written there"
    hold(scene, blows, "half", then)


def large_files(blows: Sequence[Blow]) -> list[Blow]:
    """The writing of files that are longer than what is let through."""
    return [blow for blow in blows if blow.size > LARGE]


@pytest.mark.parametrize(("kind", "step"), STEPS)
def test_asked_to_stop(scene_of: SceneOf, kind: str, step: str) -> None:
    scene = scene_of(kind)
    then = one_of_both(kind, step, "term")
    hold(scene, chosen(of_step(scene, step), 1, kind, step, "term"), "term", then)


@pytest.mark.parametrize(("kind", "step"), _steps(0, end=False))
def test_rebooted(scene_of: SceneOf, kind: str, step: str) -> None:
    scene = scene_of(kind)
    then = one_of_both(kind, step, "reboot")
    hold(scene, chosen(of_step(scene, step), 1, kind, step, "reboot"), "reboot", then)


@pytest.mark.parametrize(("kind", "step"), _steps(1))
def test_last_record_torn(scene_of: SceneOf, kind: str, step: str) -> None:
    scene = scene_of(kind)
    then = one_of_both(kind, step, "torn")
    records = [blow for blow in of_step(scene, step) if is_record(blow)]
    hold(scene, chosen(records, 1, kind, step, "torn"), "torn", then)


@pytest.mark.slow
@pytest.mark.parametrize("then", THENS)
@pytest.mark.parametrize("kind", KINDS)
def test_children_killed(scene_of: SceneOf, kind: str, then: Then) -> None:
    """Each program that the runner starts, as soon as it has; the runner lives."""
    scene = scene_of(kind)
    blows = [blow for blow in scene.acts if blow.what == "record command_began"]
    hold(scene, blows, "child", then)


@pytest.mark.slow
@pytest.mark.parametrize("then", THENS)
@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.end != "shutdown"])
def test_restored_server_killed(scene_of: SceneOf, kind: str, then: Then) -> None:
    """The postmaster, as soon as it is watched, and when it is looked at or promoted."""
    scene = scene_of(kind)
    wanted = ("replay", "verify", "promote")
    began = [blow for blow in scene.acts if blow.what == "record step_began"]
    hold(scene, [blow for blow in began if blow.step in wanted], "server", then)


DISCARDED = ("plain with tablespaces", "directory that stays")
UNDONE = (*DISCARDED, "linked pg_wal", "clone with tablespaces", "running server")


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNDONE)
def test_killed_while_undoing(scene_of: SceneOf, kind: str) -> None:
    """An undo that was killed at any record or rename is done again by `undo` or `resume`."""
    scene = scene_of(kind)
    wrong = []
    for number, blow in enumerate(_second_acts(scene, "undo")):
        case = scene.begin()
        scene.strike(case, None)
        scene.undo(case, blow)
        if case.status["state"] != "undone":
            goes_on = number % 2 and case.status["state"] == "interrupted"
            scene.resume(case) if goes_on else scene.undo(case)
        wrong += [f"{blow.name}: {problem}" for problem in _undone(scene, case)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DISCARDED)
def test_killed_while_discarding(scene_of: SceneOf, kind: str) -> None:
    """A deletion that was killed is completed by `resume`; it never takes anything else."""
    scene = scene_of(kind)
    wrong = []
    for blow in _second_acts(scene, "discard"):
        case = scene.begin()
        scene.strike(case, None)
        scene.undo(case)
        scene.discard(case, blow)
        if case.status["state"] == "interrupted":
            scene.resume(case)
        else:
            scene.discard(case)
        wrong += [f"{blow.name}: {problem}" for problem in scene.unlike_before()]
    assert not wrong, "\n".join(wrong)


def _undone(scene: Scene, case: Case) -> list[str]:
    if case.status["state"] != "undone":
        return [f"it is {case.status['state']}: {case.status['error']}"]
    if scene.kind.running:
        return not_running_again(scene)
    scene.discard(case)
    return scene.unlike_before()


def _second_acts(scene: Scene, purpose: str) -> list[Blow]:
    """What an undo, or the discard after it, does: every record, and some of the rest."""
    case = scene.begin()
    scene.strike(case, None)
    scene.undo(case)
    if purpose == "discard":
        scene.discard(case)
    done = scene.trace_of(case)
    records = [blow for blow in done if is_record(blow)]
    others = [blow for blow in done if not is_record(blow)]
    return [*records, *chosen(others, 6, scene.kind.name, purpose)]
