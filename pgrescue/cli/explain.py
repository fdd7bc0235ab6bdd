"""`pgrescue explain`: what a server's log says went wrong, and what to do next."""

from __future__ import annotations

import argparse
import io
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pgrescue.cli.output import narrate, print_json, print_lines, text_width
from pgrescue.errors import ExitCode, PgRescueError, UsageError
from pgrescue.printable import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgrescue.config.model import ClusterConfig
    from pgrescue.explain.host import Host
    from pgrescue.explain.message import Explanation

_EXAMPLES = """\
examples:
  pgrescue explain                     the configured cluster's own log
  pgrescue explain /var/log/postgresql/postgresql-15-main.log
  journalctl -u postgresql@15-main | pgrescue explain -
  pgrescue explain --log-only copied-from-elsewhere.log

Only reads. Server logs as text (any log_line_prefix), CSV or JSON, and what pg_ctl, pg_basebackup,
pg_combinebackup, pg_verifybackup, tar and gzip print; messages in English, PostgreSQL 12 to 18.
Exit code 0, whether or not a failure was found.
"""
_NEWEST = 64 << 20
"""Of a longer log only the end is read: what happened last is what matters."""
_WEIGHTS = {"failure": "", "consequence": "follows from it: ", "note": "note: "}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `explain` to the command line."""
    parser = commands.add_parser(
        "explain",
        help="what a server's log says went wrong, and what to do next",
        description="Read a server log or a tool's output, name each failure, its cause with "
        "evidence from this machine, what was not changed, and the next safe step.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "log",
        nargs="?",
        metavar="LOGFILE",
        help="the log; - is standard input (default: the "
        "configured cluster's log, or standard input if that is no terminal)",
    )
    parser.add_argument(
        "--log-only",
        action="store_true",
        help="do not look at this machine: the log is from another one",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings."""
    from pgrescue.codec import to_plain
    from pgrescue.explain.translate import explain

    cluster = _cluster(arguments)
    name = arguments.log
    if name is None:
        name = _own_log(cluster) if sys.stdin.isatty() else "-"
    with _open(name) as (lines, skipped):
        found = explain(lines, _host(cluster, arguments))
    if arguments.json:
        print_json({"log": name, "skipped_bytes": skipped, "findings": to_plain(found)})
        return ExitCode.DONE
    if skipped:
        narrate(f"{name}: the first {skipped:,} bytes are left out")
    narrate(f"{name}: {_count(found)}")
    print_lines("\n\n".join(map(_text, found)))
    return ExitCode.DONE


def _cluster(arguments: argparse.Namespace) -> ClusterConfig | None:
    """The configured cluster; a log can be explained without any."""
    from pgrescue.config.load import NoConfig, load_config

    try:
        return load_config(arguments.config).cluster(arguments.cluster)
    except NoConfig:
        if arguments.cluster is not None:
            raise
    except PgRescueError as error:
        is_needed = arguments.log is None and sys.stdin.isatty()
        if arguments.config is not None or arguments.cluster is not None or is_needed:
            raise
        narrate(f"{error.title} Without it, this machine is not looked at.")
    return None


def _own_log(cluster: ClusterConfig | None) -> str:
    from pgrescue.survey.cluster import log_of_cluster

    log = log_of_cluster(cluster) if cluster is not None else None
    if log is None:
        raise UsageError(
            "Which log?",
            "No cluster is configured." if cluster is None else "The cluster's log is not known.",
            next_steps=("pgrescue explain LOGFILE", "set log = FILE in the configuration"),
        )
    return log


def _host(cluster: ClusterConfig | None, arguments: argparse.Namespace) -> Host:
    from pgrescue.explain.host import NoHost

    if cluster is None or arguments.log_only:
        return NoHost()
    from pgrescue.survey.host_evidence import ClusterHost

    return ClusterHost(
        cluster.data_directory,
        archive=cluster.wal_archive,
        bin_directory=str(cluster.bin_directory) if cluster.bin_directory else None,
        account=cluster.owner or "postgres",
        config_directory=str(cluster.config_directory) if cluster.config_directory else None,
    )


@contextmanager
def _open(name: str) -> Iterator[tuple[Iterator[str], int]]:
    """The lines to read, and how many bytes before them are left out."""
    if name == "-":
        yield io.TextIOWrapper(sys.stdin.buffer, errors="replace"), 0
        return
    from pgrescue.compression import DECOMPRESSION_ERRORS, open_decompressed, split_ending

    path = Path(name)
    try:
        if split_ending(path.name)[1]:
            with open_decompressed(path) as stream:
                yield io.TextIOWrapper(stream, errors="replace"), 0
            return
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            skipped = max(size - _NEWEST, 0)
            file.seek(skipped)
            if skipped:
                skipped += len(file.readline())
            yield io.TextIOWrapper(file, errors="replace"), skipped
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(
            f"There is no log {name}.",
            str(error.strerror),
            next_steps=("name another: pgrescue explain LOGFILE",),
        ) from error
    except DECOMPRESSION_ERRORS as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PgRescueError(
            f"The log {name} cannot be read.",
            why,
            next_steps=("name another: pgrescue explain LOGFILE",),
        ) from error


def _count(found: tuple[Explanation, ...]) -> str:
    failures = sum(each.weight == "failure" for each in found)
    if not found:
        return "no failure that pgrescue knows, and none that ended a process"
    count = f"{failures} failures" if failures != 1 else "1 failure"
    strange = any(each.code == "not_understood" for each in found)
    return f"{count}, and messages that could not be read" if strange else count


def _text(explanation: Explanation) -> str:
    lines = [_WEIGHTS[explanation.weight] + printable(explanation.title)]
    lines += _wrapped(explanation.cause)
    lines += [f"    {printable(line)}" for line in explanation.evidence.splitlines()]
    if explanation.weight == "failure":
        lines += _wrapped(explanation.unchanged)
    # Never wrapped: they are there to be copied.
    lines += [f"  Next: {printable(step)}" for step in explanation.next]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return [
        f"  {line}"
        for line in textwrap.wrap(
            printable_lines(text), text_width() - 2, break_long_words=False, break_on_hyphens=False
        )
    ]
