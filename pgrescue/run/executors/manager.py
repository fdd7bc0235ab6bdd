"""Nothing is stopped behind the back of a high-availability manager, at whatever point of a run."""

from __future__ import annotations

from pathlib import Path

from pgrescue.errors import StepFailed
from pgrescue.plan.checks.manager import how_to_pause
from pgrescue.run.execution import RestoreExecution
from pgrescue.survey.manager import find_manager


def check_manager_lets_go(execution: RestoreExecution) -> None:
    """Raise `StepFailed` if a manager is in charge: it may have been resumed since the plan."""
    manager = find_manager(Path(execution.work.data_directory))
    if manager is None or manager.state != "in charge":
        return
    raise StepFailed(
        f"{manager.name} is in charge of {execution.work.data_directory}.",
        f"It would start again what is stopped here, or fail over: {manager.evidence}.",
        unchanged="The server was not stopped.",
        next_steps=(
            how_to_pause(manager),
            f"then go on: pgrescue resume {execution.directory.id}, or pgrescue undo "
            f"{execution.directory.id}",
        ),
    )
