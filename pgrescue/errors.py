"""One tree of errors: what happened, why, what was not changed, and what to do next."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell; scripts rely on these numbers."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    STEP_FAILED = 4
    TARGET_NOT_REACHED = 5
    INTERRUPTED = 130


NOTHING_CHANGED = "Nothing was changed."


class PgRescueError(Exception):
    """An error that a person reads during an incident.

    `title` says what happened, `cause` why, `evidence` what shows it (lines of logs, facts of
    this machine), `unchanged` what was left alone, and `next_steps` what to do now, as commands
    where possible.
    """

    exit_code = ExitCode.FAILED
    unchanged_by_default = NOTHING_CHANGED

    def __init__(
        self,
        title: str,
        cause: str = "",
        *,
        evidence: str = "",
        unchanged: str | None = None,
        next_steps: tuple[str, ...] = (),
    ) -> None:
        super().__init__(title)
        self.title = title
        self.cause = cause
        self.evidence = evidence
        self.unchanged = self.unchanged_by_default if unchanged is None else unchanged
        self.next_steps = next_steps

    def __str__(self) -> str:
        """The whole story in a few lines, for a terminal or a log."""
        lines = [self.title]
        if self.cause:
            lines.append(f"  Cause: {self.cause}")
        lines.extend(f"    {line}" for line in self.evidence.splitlines())
        if self.unchanged:
            lines.append(f"  {self.unchanged}")
        lines.extend(f"  Next: {step}" for step in self.next_steps)
        return "\n".join(lines)


class UsageError(PgRescueError):
    """The command line, a target or the configuration cannot be understood."""

    exit_code = ExitCode.USAGE


class Refused(PgRescueError):
    """A preflight check or a guard said no before anything was touched."""

    exit_code = ExitCode.REFUSED


class StepFailed(PgRescueError):
    """A step of a run failed part-way; the run's journal says where it stands."""

    exit_code = ExitCode.STEP_FAILED
    unchanged_by_default = ""


class TargetNotReached(StepFailed):
    """Recovery ended before the recovery target."""

    exit_code = ExitCode.TARGET_NOT_REACHED


class InvalidFormat(PgRescueError):
    """A file of PostgreSQL's does not have the format it should have."""
