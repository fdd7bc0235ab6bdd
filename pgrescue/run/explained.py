"""Why a step failed, in the words of the explanation of what the server or the tool has said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pgrescue.errors import StepFailed, TargetNotReached
from pgrescue.explain.host import Host, NoHost
from pgrescue.explain.message import Explanation
from pgrescue.explain.translate import explain
from pgrescue.plan.work import log_of
from pgrescue.postgres.data_directory import collected_log
from pgrescue.run.execution import RestoreExecution
from pgrescue.survey.host_evidence import ClusterHost

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
    work, run = execution.work, execution.directory.id
    log = Path(log_of(work))
    text = _since(log, execution.state().log_position)
    collected = collected_log(Path(work.data_directory))
    if collected is not None and Path(collected) != log:
        text += _since(Path(collected), 0)
    found = explain(f"{text}\n{output}".splitlines(), _host(execution))
    steps = (
        f"pgrescue undo {run}   puts the old data back",
        f"pgrescue resume {run}   tries again once the cause is mended",
        f"the whole log: {log}",
    )
    if not found:
        why = output or f"The log {log} does not say why."
        return StepFailed(title, why, next_steps=steps)
    missed = any(each.code in _MISSED for each in found)
    return _error(TargetNotReached if missed else StepFailed, found, steps)


def tool_failed(
    output: str, exit_code: int, *, program: str, next_steps: tuple[str, ...], unchanged: str = ""
) -> StepFailed:
    """The error for a program that has ended with this exit code and these last words."""
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
    return _error(StepFailed, found, next_steps, unchanged)


def _error(
    kind: type[StepFailed],
    found: Sequence[Explanation],
    next_steps: tuple[str, ...],
    unchanged: str = "",
) -> StepFailed:
    """The first failure with its steps; what follows from it is named in the cause."""
    first, *others = found
    also = [each.title for each in others if each.weight != "note" and each.start == first.start]
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


def _since(log: Path, position: int) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(position if position <= size else 0, size - _NEWEST))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
