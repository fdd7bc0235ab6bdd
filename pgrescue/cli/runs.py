"""`runs`, `status`, `attach`, `resume`, `abort`, `undo`, `discard`: what happens to runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pgrescue.cli.output import narrate, print_json, print_lines, print_table, time_text
from pgrescue.cli.session import confirm, confirm_plan
from pgrescue.errors import ExitCode
from pgrescue.printable import printable

if TYPE_CHECKING:
    from pgrescue.run.run_directory import RunDirectory

_HELP = {
    "status": "where a run stands",
    "attach": "watch a run",
    "resume": "go on after an interruption, or past the pause at the target",
    "abort": "stop a run where it is safe",
    "undo": "put back what a run set aside, such as the old data directory",
    "discard": "delete what a run set aside",
}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands on runs to the command line."""
    listing = commands.add_parser(
        "runs",
        help="list the runs",
        description="List the runs, oldest first: restores, backups, removals, re-seeds.",
        epilog="example: pgrescue runs --json | jq -r '.runs[] | [.run, .state] | @tsv'",
    )
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(handler=run_runs)
    handlers: dict[str, Callable[[argparse.Namespace], int]] = {
        "status": run_status,
        "attach": run_attach,
        "resume": run_resume,
        "abort": run_abort,
        "undo": run_undo,
        "discard": run_discard,
    }
    for name, handler in handlers.items():
        parser = commands.add_parser(
            name,
            help=_HELP[name],
            description=f"{_HELP[name].capitalize()}. Without RUN it is the last one.",
            epilog=f"example: pgrescue {name} 20261122-2035",
        )
        parser.add_argument("run", nargs="?", metavar="RUN", help="a run or a unique prefix of it")
        form = "one JSON object per event" if name == "attach" else "print JSON"
        parser.add_argument("--json", action="store_true", help=form)
        if name in ("resume", "undo", "discard", "abort"):
            parser.add_argument("--yes", action="store_true", help="do not ask")
            parser.add_argument(
                "--take-over",
                action="store_true",
                help="act on a run of another operator; from then on it is yours",
            )
        if name == "resume":
            parser.add_argument(
                "--confirm",
                metavar="HOST/CLUSTER",
                help="needed where recovery ended early and the plan deletes the old data",
            )
        if name in ("resume", "undo"):
            parser.add_argument("--detach", action="store_true", help="do not wait for the end")
        parser.set_defaults(handler=handler)


def run_runs(arguments: argparse.Namespace) -> int:
    """Print every run."""
    from pgrescue.run.run_directory import list_runs, unreadable_runs
    from pgrescue.run.status import status_of

    states = [run.state() for run in list_runs()]
    for run in unreadable_runs():
        narrate(f"{run.id} is left out: its plan cannot be read; pgrescue status {run.id}")
    if arguments.json:
        print_json({"runs": [status_of(state) for state in states]})
        return ExitCode.DONE
    print_table(
        ("RUN", "CLUSTER", "STARTED (UTC)", "BY", "STATE", "STEP"),
        [
            (s.run, s.cluster, time_text(s.created_at), s.operator, s.state, s.step or "-")
            for s in states
        ],
    )
    return ExitCode.DONE


def run_status(arguments: argparse.Namespace) -> int:
    """Print one run's state."""
    from pgrescue.cli.watch import closing
    from pgrescue.run.later_runs import replaced_by
    from pgrescue.run.run_directory import list_runs, unreadable_runs
    from pgrescue.run.status import no_run, status_of

    if arguments.run is None and not (list_runs() or unreadable_runs()):
        narrate("There is no run yet.")
        if arguments.json:
            print_json(no_run())
        return ExitCode.DONE
    state = _find(arguments).state()
    state = replace(state, replaced_by=replaced_by(state))
    if arguments.json:
        print_json(status_of(state))
        return ExitCode.DONE
    print_lines(f"  owner    {printable(state.owner)}")
    for step in state.steps:
        seconds = "" if step.seconds is None else f"{step.seconds:8.1f} s"
        print_lines(f"  {step.state:<8} {printable(step.title):<52} {seconds}")
    print_lines(closing(state))
    return ExitCode.DONE


def run_attach(arguments: argparse.Namespace) -> int:
    """Watch a run from its beginning to its end."""
    from pgrescue.cli.watch import watch

    return watch(_find(arguments), as_json=arguments.json)


def run_resume(arguments: argparse.Namespace) -> int:
    """Go on with a run."""
    from pgrescue.run.acts import resume_run
    from pgrescue.run.shortfall import deletes_old_data, ended_early

    directory = _find(arguments)
    state, plan = directory.state(), directory.plan()
    accepts = ended_early(state) and state.purpose == "restore"
    if accepts:
        question = (
            f"Accept that recovery ended early, and go on with the run {directory.id}? "
            "What it did not get is given up."
        )
    elif state.state == "waiting":
        question = f"Promote the server that run {directory.id} paused at its target?"
    else:
        question = f"Go on with the run {directory.id}?"
    by_name = accepts and deletes_old_data(plan)
    if by_name:
        question += " Then the old data is DELETED."
    confirm_plan(question, plan.identity, arguments, by_name=by_name)
    return _act(arguments, directory, resume_run)


def run_undo(arguments: argparse.Namespace) -> int:
    """Put back what a run set aside."""
    from pgrescue.run.acts import undo_run

    directory = _find(arguments)
    state = directory.state()
    match state.kind:
        case "prune":
            question = f"Put back the backups and the WAL that the run {directory.id} set aside?"
        case "backup":
            question = f"Remove what is left of the backup that the run {directory.id} began?"
        case _:
            place = state.data_directory
            question = (
                f"Put the old data back to {place}, as it was before the run {directory.id}?"
                if state.replaces
                else f"Take what the run {directory.id} restored out of the way, from {place}?"
            )
    confirm(question, given=arguments.yes, option="--yes")
    return _act(arguments, directory, undo_run)


def run_discard(arguments: argparse.Namespace) -> int:
    """Delete what a run set aside."""
    from pgrescue.run.acts import discard_run, discardable
    from pgrescue.run.deletable import counted, kept_wal

    directory = _find(arguments)
    now = datetime.now(UTC)
    for item in discardable(directory):
        narrate(f"{item.path}: {counted(item).described(now)}")
    if kept := kept_wal(directory.plan(), directory.state()):
        narrate(f"It stays: {kept}")
    question = f"Delete for good what the run {directory.id} set aside?"
    # It cannot be taken back: at a terminal a habitual "yes" is not enough.
    confirm(question, given=arguments.yes, option="--yes", expected=directory.id)
    return _act(arguments, directory, discard_run)


def run_abort(arguments: argparse.Namespace) -> int:
    """Stop a run where it is safe, and wait until it has stopped."""
    from pgrescue.cli.watch import watch
    from pgrescue.run.acts import abort_run
    from pgrescue.run.follow import journal_end
    from pgrescue.run.status import status_of

    directory = _find(arguments)
    confirm(f"Stop the run {directory.id}?", given=arguments.yes, option="--yes")
    position = journal_end(directory)
    if not abort_run(directory, taking_over=arguments.take_over):
        state = directory.state()
        narrate(f"The run {directory.id} is not at work: {state.state}.")
        if arguments.json:
            print_json(status_of(state))
        return ExitCode.DONE
    code = watch(directory, as_json=arguments.json, events=False, position=position)
    return ExitCode.DONE if directory.state().state == "aborted" else code


def _act(
    arguments: argparse.Namespace,
    directory: RunDirectory,
    act: Callable[..., None],
) -> int:
    """Start the runner anew, and watch only what is new."""
    from pgrescue.cli.watch import watch
    from pgrescue.run.follow import journal_end

    position = journal_end(directory)
    act(directory, taking_over=arguments.take_over)
    if getattr(arguments, "detach", False):
        narrate(f"The run {directory.id} goes on; pgrescue attach {directory.id} shows it.")
        if arguments.json:
            print_json({"event": "started", "run": directory.id})
        return ExitCode.DONE
    return watch(directory, as_json=arguments.json, events=False, position=position)


def _find(arguments: argparse.Namespace) -> RunDirectory:
    from pgrescue.run.run_directory import find_run

    return find_run(arguments.run)
