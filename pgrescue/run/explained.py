"""Why a step failed, in the words of the explanation of what the server or the tool has said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pgrescue.errors import StepFailed, TargetNotReached
from pgrescue.explain.host import Host, NoHost
from pgrescue.explain.message import Explanation
from pgrescue.explain.translate import explain
from pgrescue.plan.model import Work
from pgrescue.plan.work import log_of, undo_does
from pgrescue.postgres.data_directory import collected_logs
from pgrescue.run.execution import RestoreExecution
from pgrescue.survey.host_evidence import ClusterHost
from pgrescue.survey.unit_log import unit_log

_MISSED = {
    "target_not_reached",
    "ended_without_target",
    "target_before_consistency",
    "target_before_backup",
}
"""Failures that mean: the server is sound, but not where it should be."""
_NEWEST = 16 << 20
"""Bytes of a server's log that are read; one start writes far less."""


def server_failed(execution: RestoreExecution, title: str, output: str = "") -> StepFailed:
    """The error for a server that this run has started and that has failed.

    `title` is what is said where neither its log nor the `output` of its start command tells
    anything that is known.
    """
    work, run, state = execution.work, execution.directory.id, execution.state()
    log = Path(log_of(work))
    text = _since(log, state.log_position)
    if work.service.kind == "systemd" and state.server_started_at is not None:
        text += f"\n{unit_log(work.service.unit_name, state.server_started_at)}"
    for collected in collected_logs(Path(work.data_directory)).values():
        if Path(collected) != log:
            text += f"\n{_last_start(_since(Path(collected), 0))}"
            break
    told = explain(f"{text}\n{output}".splitlines(), _host(execution))
    # That somebody tried to connect, or that it paused as it should, did not end it.
    found = [each for each in told if each.weight != "note"]
    steps = (
        f"pgrescue undo {run}   {undo_does(replaces=work.replaces)}",
        f"pgrescue resume {run}   tries again once the cause is mended",
        f"the whole log: {log if log.exists() else _other_log(work)}",
    )
    if not found:
        why = output or "Its log does not say why."
        return StepFailed(title, why, next_steps=steps)
    missed = any(each.code in _MISSED for each in found)
    return _error(TargetNotReached if missed else StepFailed, found, steps)


_OF_A_BACKUP = ("--destination", "--wal-method", "take the backup again")
"""What steps say that only a failed `pgrescue backup` can take."""


def tool_failed(
    output: str,
    exit_code: int,
    *,
    program: str,
    next_steps: tuple[str, ...],
    unchanged: str = "",
    for_backup: bool = False,
) -> StepFailed:
    """The error for a program that has ended with this exit code and these last words.

    `for_backup`: whether it was taking a backup, whose options can be chosen anew.
    """
    found = explain(output.splitlines(), NoHost())
    if not found or found[0].code == "unknown":
        said = (
            found[0].title if found else f"it ended with exit code {exit_code} and gave no reason"
        )
        return StepFailed(
            f"{program} failed.",
            said,
            unchanged=unchanged,
            evidence=found[0].evidence if found else "",
            next_steps=(
                "look at its words: l in the UI, or tool.log in the run's directory",
                *next_steps,
            ),
        )
    first, *others = found
    if not for_backup:
        steps = (step for step in first.next if not any(word in step for word in _OF_A_BACKUP))
        first = replace(first, next=tuple(steps))
    return _error(StepFailed, [first, *others], next_steps, unchanged)


def _error(
    kind: type[StepFailed],
    found: Sequence[Explanation],
    next_steps: tuple[str, ...],
    unchanged: str = "",
) -> StepFailed:
    """The first failure with its steps; what follows from it is named in the cause."""
    first, *others = found
    also = [each.title for each in others if each.start == first.start]
    return kind(
        first.title,
        " ".join([first.cause, *also]),
        evidence=first.evidence,
        unchanged=unchanged,
        next_steps=(*first.next, *next_steps),
    )


def _host(execution: RestoreExecution) -> Host:
    work = execution.work
    return ClusterHost(
        Path(work.data_directory),
        archive=Path(work.wal_archive) if work.wal_archive else None,
        bin_directory=work.bin_directory,
        account=work.run_as,
        config_directory=work.config_directory,
        again=f"pgrescue resume {execution.directory.id}",
    )


def _other_log(work: Work) -> str:
    """Where a server's words are that has no log file which we know of."""
    if work.service.kind != "systemd":
        return f"as log_directory says, in {work.data_directory}"
    return f"journalctl -u {work.service.unit_name}"


def _last_start(text: str) -> str:
    """What the last start in a log has written: the file may be older than this run."""
    begin = text.rfind("starting PostgreSQL ")
    return text if begin < 0 else text[text.rfind("\n", 0, begin) + 1 :]


def _since(log: Path, position: int) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(position if position <= size else 0, size - _NEWEST))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
