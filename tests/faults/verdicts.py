"""What must hold after a blow: what `status` says, what `resume` and `undo` come to."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from pgrescue.errors import PgRescueError
from tests.faults.scene import Blow, Case, Facts, How, Scene, Status, Then

SEED = 1986
"""Chooses among acts, where there are too many; the same ones on every machine."""
_ANSWERED = ("term", "child", "server")
"""Blows that the runner lives to answer."""


def tried(scene: Scene, blow: Blow, how: How, then: Then) -> list[str]:
    """One case from its beginning; what is wrong with it, a line each."""
    case = scene.begin()
    scene.strike(case, blow, how)
    if not case.fallen:
        return [f"{blow.name}: there was no such act this time"]
    if how == "torn":
        _tear(case, random.Random(f"{SEED} {scene.kind.name} {blow.name}"))
    if how == "reboot":
        scene.reboot(case)
    wrong = untrue(scene, case, blow, how)
    try:
        wrong += gone_back(scene, case) if then == "undo" else gone_on(scene, case)
    except (PgRescueError, AssertionError) as error:
        wrong.append(f"{error} The run: {case.status['state']}, {case.status['error']}")
    return [f"{how} at {blow.name}, then {then}: {problem}" for problem in wrong]


def untrue(scene: Scene, case: Case, blow: Blow, how: How) -> list[str]:
    """What `status` says that is not so."""
    said, told = scene.status_by_command(case), case.journal
    wrong = []
    has_ended = told[-1]["event"] == "finished"
    if how not in _ANSWERED and not has_ended and said["state"] != "interrupted":
        wrong.append(f"status says {said['state']} of a run whose runner is gone")
    if how in ("child", "server") and said["state"] == "failed" and not said["error"]["next"]:
        wrong.append("the failure does not say what to do next")
    if how == "term" and (said["state"] in ("failed", "interrupted") and blow.step != "begin"):
        wrong.append(f"asked to stop, the run is {said['state']}: {said['error']}")
    wrong += _untrue_steps(said, told)
    # When a program ends that nobody waits for, the next step may have begun, or not.
    is_vague = blow.step in ("begin", "end") or blow.what == "record command_ended"
    if how == "kill" and not is_vague and said["step"] != blow.step:
        wrong.append(f"status says step {said['step']}, it was in {blow.step}")
    moved = {one["aside"] for one in told if one["event"] == "moved"}
    deletes = any(one.get("step") == "delete_old" for one in told)
    if said["set_aside"] in moved and not deletes and not Path(said["set_aside"]).exists():
        wrong.append(f"status names {said['set_aside']}, which is not there")
    if moved and said["set_aside"] is None and not deletes:
        wrong.append(f"status does not name what is set aside: {sorted(moved)}")
    begun = {one["step"] for one in told if one["event"] == "step_began"}
    can_start = (scene.place.data / "global/pg_control").exists()
    if how == "kill" and "extract" in begun and "complete" not in begun and can_start:
        wrong.append("half a restore can be started: its pg_control is in place")
    ended = {one["step"] for one in told if one["event"] == "step_ended"}
    has_opened = "promote" in ended or ("replay" in ended and scene.kind.end == "open")
    if how == "term" and said["state"] == "aborted" and has_opened and not scene.place.is_running:
        wrong.append("a server that had opened, with clients perhaps, was stopped by the abort")
    is_left = said["state"] == "aborted" and "start" in begun and scene.place.is_running
    if how == "term" and is_left and scene.place.in_recovery():
        wrong.append("a half-recovered server is left running behind an aborted run")
    return wrong


def _untrue_steps(said: Status, told: list[dict[str, Any]]) -> list[str]:
    began = [one["step"] for one in told if one["event"] == "step_began"]
    ended = {one["step"] for one in told if one["event"] == "step_ended"}
    wrong = []
    if said["step"] != (began[-1] if began else None):
        wrong.append(f"status says step {said['step']}, the journal {began[-1:]}")
    for step in said["steps"]:
        if (step["state"] == "done") != (step["id"] in ended):
            wrong.append(f"status says {step['id']} is {step['state']}")
    return wrong


def gone_on(scene: Scene, case: Case) -> list[str]:
    """How the end of a resumed run differs from that of an undisturbed one."""
    if case.status["state"] != "succeeded":
        scene.resume(case)
    if _is_on_the_old_timeline(case):
        # The server was killed in the one moment after which PostgreSQL itself cannot go on.
        undone = scene.undo(case) and case.status["state"] == "undone"
        return [] if undone else ["what opened on the old timeline cannot be undone"]
    wanted, found = scene.undisturbed, scene.ended(case)
    if case.started_anew:  # what the old server wrote then is restored, too
        wanted, found = _said(wanted), _said(found)
    return unlike(wanted, found)


def _is_on_the_old_timeline(case: Case) -> bool:
    error = case.status["error"]
    return error is not None and error["title"].startswith("The server has opened on timeline")


def _said(facts: Facts) -> Facts:
    return {name: facts[name] for name in ("state", "error", "steps", "runs", "rows and settings")}


def gone_back(scene: Scene, case: Case) -> list[str]:
    """How the old cluster, brought back, differs from what it was."""
    told = case.journal
    events = {one["event"] for one in told}
    begun = {one["step"] for one in told if one["event"] == "step_began"}
    restored = scene.status_by_command(case)["set_aside"]
    if not scene.undo(case):
        if "deleting" in events:
            return gone_on(scene, case) if "finished" not in events else []
        wrong = scene.unlike_before() if not scene.kind.running else not_running_again(scene)
        if {"moving", "making_directory"} & events or "stop" in begun:
            wrong.append("undo says that there is nothing to take back")
        return wrong
    status = case.status
    wrong = []
    if status["state"] != "undone" or status["set_aside"] is not None:
        wrong.append(f"after undo of {restored}: {status['state']}, {status['set_aside']}")
    if scene.kind.running:
        wrong += not_running_again(scene)
        return wrong + ([] if case.started_anew else _not_as_seen(scene))
    if scene.place.is_running:
        wrong.append("a server runs; none did before")
    scene.discard(case)
    return wrong + scene.unlike_before()[:20]


def not_running_again(scene: Scene) -> list[str]:
    """What the old server, which ran before, does not do as it did."""
    place = scene.source.place
    if not place.is_running:
        return ["the old server does not run"]
    wrong = []
    if place.rows() != scene.source.log.expected("latest"):
        wrong.append(f"the old server shows {place.rows()}")
    if place.in_recovery():
        wrong.append("the old server is read-only")
    return wrong


def _not_as_seen(scene: Scene) -> list[str]:
    """Bytes of the old data directory that changed between its server's stop and next start.

    What a run did that never got through its stop is not seen: there the server itself wrote.
    """
    before, after = scene.manifest("stopped"), scene.manifest("returned")
    if before is None or after is None:
        return []
    return [
        f"changed: {path}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def unlike(wanted: Facts, found: Facts) -> list[str]:
    """What is missing, new or other than in an undisturbed run."""
    return [
        f"{name}: {found.get(name)!r}, undisturbed {wanted.get(name)!r}"
        for name in sorted({*wanted, *found})
        if wanted.get(name) != found.get(name)
    ][:20]


def _tear(case: Case, chance: random.Random) -> None:
    """The journal's last record is cut off at some byte, as by a power failure."""
    assert case.run is not None
    path = case.run.journal_path
    data = path.read_bytes()
    begins = data.rfind(b"\n", 0, len(data) - 1) + 1
    path.write_bytes(data[: chance.randrange(begins, len(data))])
