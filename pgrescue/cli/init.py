"""`pgrescue init`: write a configuration, from what can be detected and what is answered."""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pgrescue.cli.output import narrate, print_json, print_lines
from pgrescue.errors import ExitCode, UsageError
from pgrescue.postgres.service import SERVICE_KINDS, ServiceKind, ServiceSpec
from pgrescue.printable import printable

if TYPE_CHECKING:
    from pgrescue.config.detect import Detection
    from pgrescue.config.model import ClusterConfig

_EXAMPLES = """\
examples:
  pgrescue init
      asks, with what it detected as default answers
  pgrescue init --yes --backups /srv/backups/main
      takes the only cluster of this host as it is found
  pgrescue init --archive /srv/wal/main
      shows how the server's settings would change, and asks
  pgrescue init --yes --output ./pgrescue.toml --name main \\
      --data-directory /var/lib/postgresql/15/main --service systemd \\
      --backups /srv/backups/main --wal-archive /srv/wal/main
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `init` to the command line."""
    parser = commands.add_parser(
        "init",
        help="write a configuration",
        description="Write a configuration, from what can be detected of a running or stopped "
        "cluster.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the file to write")
    parser.add_argument("--name", help="the cluster's name in the configuration (default: main)")
    parser.add_argument("--data-directory", type=Path, metavar="DIR", help="PGDATA")
    parser.add_argument(
        "--bin-directory", type=Path, metavar="DIR", help="where postgres and pg_ctl are"
    )
    parser.add_argument(
        "--service", choices=SERVICE_KINDS, metavar="KIND", help=" | ".join(SERVICE_KINDS)
    )
    parser.add_argument(
        "--backups",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a directory that holds backups; may be repeated",
    )
    parser.add_argument(
        "--wal-archive", type=Path, metavar="DIR", help="the directory of archived WAL"
    )
    archiving = parser.add_argument_group("WAL archiving, once there is a configuration")
    archiving.add_argument(
        "--archive",
        nargs="?",
        const="",
        metavar="DIR",
        help="have the server archive its WAL there (default: the configured wal_archive): shows "
        "the difference to its settings, and changes them only once confirmed",
    )
    archiving.add_argument(
        "--receivewal",
        action="store_true",
        help="with --archive: print a systemd unit for pg_receivewal instead",
    )
    archiving.add_argument(
        "--dry-run", action="store_true", help="with --archive: show the difference only"
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the file and print its path; raises `UsageError` if it cannot be."""
    if arguments.archive is not None:
        from pgrescue.cli import archiving

        return archiving.run(arguments)
    from pgrescue.config.proposal import configuration_text, path_warnings
    from pgrescue.config.write import ensure_absent, write_config

    for option in ("dry_run", "receivewal"):
        if getattr(arguments, option):
            named = f"--{option.replace('_', '-')}"
            raise UsageError(f"{named} is for init --archive.", "Nothing was written.")
    if not arguments.yes and not sys.stdin.isatty():
        raise UsageError(
            "init asks questions, and standard input is not a terminal.",
            next_steps=("take what is detected: pgrescue init --yes --backups DIR",),
        )
    output = _output(arguments)
    ensure_absent(output)
    detection, cluster = _detected(arguments) if arguments.yes else _answered(arguments)
    text = configuration_text(cluster, output)
    warnings = path_warnings(cluster, output)
    _narrate(f"warning: {warning}" for warning in warnings)
    if not arguments.yes:
        _narrate(["", text])
        if _ask(f"Write this to {output}?", "yes").lower() not in ("y", "yes"):
            raise UsageError("Not written, as you said.")
    write_config(output, text)
    _narrate(
        [f"next: pgrescue -c {output} doctor" if arguments.output else "next: pgrescue doctor"]
    )
    _print_result(arguments.json, output, text, detection, warnings)
    return ExitCode.DONE


def _output(arguments: argparse.Namespace) -> Path:
    """Where to write: as told, else where the configuration is looked for first."""
    from pgrescue.config.load import SYSTEM_FILE, user_file

    named = arguments.output or arguments.config or os.environ.get("PGRESCUE_CONFIG")
    if named:
        return Path(named).absolute()
    return SYSTEM_FILE if os.geteuid() == 0 else user_file()


def _detected(arguments: argparse.Namespace) -> tuple[Detection, ClusterConfig]:
    from pgrescue.config.detect import detect_cluster
    from pgrescue.config.proposal import Choices, apply_choices

    detection = detect_cluster(
        arguments.name or "main", arguments.data_directory, arguments.bin_directory
    )
    _describe(detection)
    choices = Choices(arguments.service, tuple(arguments.backups), arguments.wal_archive)
    return detection, apply_choices(detection, choices)


def _answered(arguments: argparse.Namespace) -> tuple[Detection, ClusterConfig]:
    from pgrescue.config.candidates import find_candidates
    from pgrescue.config.detect import detect_cluster
    from pgrescue.config.proposal import Choices, apply_choices

    directory = arguments.data_directory
    if directory is None:
        candidates = find_candidates()
        _narrate(f"found {item.data_directory}: {item.origin}" for item in candidates)
        default = str(candidates[0].data_directory) if candidates else ""
        directory = _existing(Path(_ask("Data directory", default)))
    name = arguments.name or _ask("Name of the cluster", "main")
    detection = detect_cluster(name, directory, arguments.bin_directory)
    _describe(detection)
    backups = tuple(arguments.backups) or tuple(
        Path(part.strip())
        for part in _ask("Directories of backups, with commas between", "").split(",")
        if part.strip()
    )
    found = detection.cluster
    archive = arguments.wal_archive or _ask("Directory of archived WAL", _text(found.wal_archive))
    cluster = apply_choices(
        detection, Choices(backups=backups, wal_archive=Path(archive) if archive else None)
    )
    if cluster.bin_directory is None:
        programs = _ask("Directory of postgres and pg_ctl", "")
        cluster = replace(cluster, bin_directory=Path(programs).absolute() if programs else None)
    kind = arguments.service or _ask_kind(found.service.kind)
    return detection, replace(cluster, service=_ask_service(cluster, kind))


def _existing(directory: Path) -> Path:
    """A data directory that was typed: one that is gone may be meant, but has to be said so."""
    while not directory.exists():
        where = directory.absolute()
        if (
            _ask(f"{where} does not exist. Is it the place of a cluster that is lost? yes/no", "no")
            == "yes"
        ):
            return where
        directory = Path(_ask("Data directory", ""))
    return directory


def _ask_kind(default: ServiceKind) -> ServiceKind:
    while True:
        answer = _ask(f"Service ({', '.join(SERVICE_KINDS)})", default)
        for kind in SERVICE_KINDS:
            if kind == answer:
                return kind


def _ask_service(cluster: ClusterConfig, kind: ServiceKind) -> ServiceSpec:
    """The service as detected, else its fields one by one."""
    from pgrescue.config.cluster_table import SERVICE_FIELDS
    from pgrescue.config.proposal import chosen_service

    try:
        return chosen_service(cluster, kind)
    except UsageError:
        answers = {field: _ask(f"{kind}: {field}", "") for field in SERVICE_FIELDS[kind]}
        return ServiceSpec(kind, **answers)


def _ask(question: str, default: str) -> str:
    """One line from the terminal; an empty one means the default."""
    hint = f" [{default}]" if default else ""
    sys.stderr.write(printable(f"{question}{hint}: "))
    sys.stderr.flush()
    try:
        return input().strip() or default
    except EOFError as error:
        raise UsageError("The questions were not answered.") from error


def _describe(detection: Detection) -> None:
    cluster = detection.cluster
    values = {key: getattr(cluster, key) for key in detection.origins}
    values["service"] = cluster.service.kind
    _narrate(f"{key} = {values[key]}  ({origin})" for key, origin in detection.origins.items())
    _narrate(f"note: {note}" for note in detection.notes)


def _print_result(
    as_json: bool, output: Path, text: str, detection: Detection, warnings: tuple[str, ...]
) -> None:
    if not as_json:
        print_lines(printable(str(output)))
        return
    result = {
        "path": str(output),
        "cluster": detection.cluster.name,
        "configuration": tomllib.loads(text),
        "running": detection.running,
        "origins": detection.origins,
        "notes": detection.notes,
        "warnings": warnings,
    }
    print_json(result)


def _narrate(lines: Iterable[str]) -> None:
    for line in lines:
        narrate(line)


def _text(path: Path | None) -> str:
    return "" if path is None else str(path)
