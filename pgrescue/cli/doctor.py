"""`pgrescue doctor`: could the cluster be rescued today?"""

from __future__ import annotations

import argparse
import textwrap
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pgrescue.cli.output import narrate, print_json, print_lines, text_width
from pgrescue.errors import ExitCode
from pgrescue.printable import printable, printable_lines

if TYPE_CHECKING:
    from pgrescue.catalog.model import Backup
    from pgrescue.doctor.subject import Subject
    from pgrescue.findings import Finding

_EXAMPLES = """\
examples:
  pgrescue doctor
  pgrescue --cluster main doctor --json | jq '.findings[] | select(.status != "ok")'

exit code: 0 if nothing stands in the way of a recovery, 3 if something does
"""
_MARKS = {"ok": "ok", "warning": "warning", "blocker": "BLOCKER"}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="check tools, privileges, paths, backups and archive",
        description="Check whether the cluster could be rescued today; every finding comes with "
        "its fix. Changes nothing, unless --test-archiving asks for it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--test-archiving",
        action="store_true",
        help="end the current WAL segment and wait until it has arrived in the archive",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; the exit code says whether any of them is a blocker."""
    from pgrescue.catalog.freshness import freshness_of
    from pgrescue.codec import to_plain
    from pgrescue.config.load import load_config
    from pgrescue.doctor.examine import examine
    from pgrescue.doctor.subject import look_at
    from pgrescue.survey.own_identifier import identifier_of

    config = load_config(arguments.config)
    cluster = config.cluster(arguments.cluster)
    subject = look_at(config, cluster)
    findings = examine(subject)
    if arguments.test_archiving:
        from pgrescue.doctor.archiving_trial import try_archiving

        findings.append(try_archiving(subject))
    if arguments.json:
        backups = _with_last_commits(subject)
        own = identifier_of(cluster, subject.archive, backups)
        freshness = to_plain(freshness_of(backups, datetime.now(UTC), own))
        print_json({"cluster": cluster.name, "findings": findings, "freshness": freshness})
    else:
        narrate(_summary(cluster.name, findings))
        print_lines(_table(findings))
    blocked = any(finding.status == "blocker" for finding in findings)
    return ExitCode.REFUSED if blocked else ExitCode.DONE


def _with_last_commits(subject: Subject) -> list[Backup]:
    """The backups as the catalog shows them: the ends of their windows are in the WAL only."""
    from pgrescue.desk import open_index
    from pgrescue.history.windows import with_last_commits

    if subject.archive is None:
        return list(subject.backups)
    with open_index() as index:
        return with_last_commits(subject.backups, subject.archive, index)


def _table(findings: list[Finding]) -> str:
    margin = max(map(len, _MARKS.values())) + 2
    column = margin + max(len(finding.code) for finding in findings) + 2
    lines = []
    for finding in findings:
        message = textwrap.wrap(
            printable_lines(finding.message),
            text_width() - column,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines.append(f"{_MARKS[finding.status]:<{margin}}{finding.code}".ljust(column) + message[0])
        lines += [" " * column + rest for rest in message[1:]]
        if finding.fix is not None:
            # Never wrapped: it is there to be copied.
            lines.append(f"{' ' * column}fix: {printable(finding.fix)}")
    return "\n".join(lines)


def _summary(cluster: str, findings: list[Finding]) -> str:
    count = Counter(finding.status for finding in findings)
    return f"{cluster}: {count['blocker']} blocking, {count['warning']} warning, {count['ok']} ok"
