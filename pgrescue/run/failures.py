"""What went wrong, as the journal keeps it for people."""

from __future__ import annotations

from pgrescue.errors import NOTHING_CHANGED, ExitCode, PgRescueError
from pgrescue.postgres.secrets import without_passwords
from pgrescue.run.records import Failure


def failure_of(problem: PgRescueError, *, kept: str = "", step_begun: bool = True) -> Failure:
    """An error as the journal keeps it; once a step was begun, "nothing changed" is not said.

    `kept` says where the old data is by then, if there is any.
    """
    if problem.unchanged == NOTHING_CHANGED:
        told = [kept if step_begun else NOTHING_CHANGED]
    else:
        told = [problem.unchanged, kept]
    return Failure(
        # What failed may have been a command with a password in it, or may quote one.
        title=without_passwords(problem.title),
        cause=without_passwords(problem.cause),
        evidence=without_passwords("\n".join(filter(None, (problem.evidence, *told)))),
        next=problem.next_steps,
        exit_code=int(problem.exit_code),
    )


def refusal_of_the_system(
    problem: OSError, step: str, ways_on: tuple[str, ...], kept: str
) -> Failure:
    """A full disk, a missing right, a device that fails."""
    where = f" at {problem.filename}" if problem.filename else ""
    first, *others = ways_on or ("look into the log",)
    return Failure(
        title=f"The step '{step}' failed: {problem.strerror or problem}.",
        cause=f"The operating system refused{where}.",
        evidence="\n".join(filter(None, (str(problem), kept))),
        next=(f"mend the cause, then: {first}", *others),
        exit_code=int(ExitCode.STEP_FAILED),
    )


def defect(trace: str, step: str, ways_on: tuple[str, ...], kept: str, directory: str) -> Failure:
    """An error that nobody thought of."""
    return Failure(
        title=f"The step '{step}' failed by a defect in pgrescue.",
        cause=trace.strip().splitlines()[-1],
        evidence="\n".join(filter(None, (trace, kept))),
        next=(*ways_on[1:], f"report it with {directory}"),
        exit_code=int(ExitCode.STEP_FAILED),
    )
