"""Take the guards of the safety code out, one at a time, and see whether a test notices.

    python scripts/mutate.py --guards
    python scripts/mutate.py --module run/old_data.py
    python scripts/mutate.py --limit 40 --seed 7

In a copy of the tree, never in the tree itself, each mutant changes one place: the condition of an
`if` is forced, one half of an `and` or `or` is taken out, a comparison is turned, a `not` dropped,
a `raise`, a filter or a row of the checks removed. Then the tests that cover the module run
(`COVERED_BY`) until the first one fails. A mutant that no test notices has survived: it is a guard
without proof, or one that nothing depends on. Exit code 1 if any has.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_MATRIX = "tests/faults/test_matrix.py"
_PLANNING = ("tests/plan/test_checks.py", "tests/plan", "tests/refusals/test_preflight.py")
COVERED_BY: dict[str, tuple[str, ...]] = {
    "plan/checks/__init__.py": (*_PLANNING, "tests/refusals", "tests/services/test_managers.py"),
    "plan/checks/backup.py": (
        *_PLANNING,
        "tests/refusals/test_guards.py",
        "tests/e2e/test_damage.py",
        "tests/services/test_secrets.py",
        "tests/faults/test_hostile_restore.py",
    ),
    "plan/checks/cluster.py": (
        *_PLANNING,
        "tests/refusals/test_guards.py",
        "tests/managers/test_recognition.py",
        "tests/e2e/test_shared_tablespace.py",
    ),
    "plan/checks/context.py": (*_PLANNING, "tests/refusals/test_guards.py"),
    "plan/checks/foretold.py": (*_PLANNING, "tests/truth"),
    "plan/checks/host.py": (
        *_PLANNING,
        "tests/services/test_privileges.py",
        "tests/faults/test_full_disk.py",
    ),
    "plan/checks/manager.py": (
        "tests/managers/test_recognition.py",
        "tests/services/test_managers.py",
    ),
    "plan/checks/names.py": (*_PLANNING, "tests/e2e/test_hostile_names.py"),
    "plan/checks/places.py": (
        "tests/refusals/test_guards.py",
        "tests/faults/test_planted_links.py",
        *_PLANNING,
    ),
    "plan/checks/target.py": (*_PLANNING, "tests/e2e/test_targets.py"),
    "plan/checks/wal.py": (
        *_PLANNING,
        "tests/e2e/test_wal_tail.py",
        "tests/faults/test_restore_command.py",
        "tests/faults/test_acknowledged_commits.py",
    ),
    "plan/sealed.py": ("tests/e2e/test_plans.py", "tests/refusals/test_preflight.py"),
    "plan/fetch_wal.py": ("tests/plan/test_fetch_wal.py",),
    "run/deletable.py": (
        "tests/run/test_discardable.py",
        "tests/run/test_deletable.py",
        "tests/e2e/test_old_data.py",
    ),
    "run/deletion.py": (
        "tests/run",
        "tests/faults/test_deletion.py",
        "tests/e2e/test_old_data.py",
        "tests/faults/test_planted_links.py",
        "tests/retention/test_interrupted.py",
        _MATRIX,
    ),
    "run/old_data.py": (
        "tests/run",
        "tests/e2e/test_old_data.py",
        "tests/refusals/test_wrong_state.py",
        "tests/refusals/test_service_failures.py",
        "tests/faults/test_planted_links.py",
        "tests/retention/test_interrupted.py",
        _MATRIX,
    ),
    "run/still_there.py": (
        "tests/run",
        "tests/retention/test_interrupted.py",
        "tests/refusals/test_wrong_state.py",
        _MATRIX,
    ),
    "run/places.py": ("tests/run/test_old_data.py", "tests/faults/test_planted_links.py"),
    "run/unpack.py": (
        "tests/run/test_unpack.py",
        "tests/faults/test_hostile_tar.py",
        "tests/faults/test_hostile_plain.py",
        "tests/e2e/test_damage.py",
    ),
    "run/lock.py": (
        "tests/refusals/test_service_failures.py::test_run_at_work_is_not_disturbed",
        "tests/faults/test_two_runs.py",
        "tests/e2e/test_interruptions.py::test_second_restore_waits_its_turn",
    ),
    "run/job.py": (
        "tests/e2e/test_plans.py",
        "tests/faults/test_two_runs.py",
        "tests/refusals/test_wrong_state.py",
        "tests/services/test_owner.py",
    ),
    "run/owner.py": ("tests/services/test_owner.py", "tests/faults/test_line.py"),
    "run/room.py": ("tests/run/test_room.py", "tests/faults/test_full_disk.py"),
    "run/executors/held_wal.py": ("tests/run/test_held_wal.py",),
    "run/rescued_wal.py": ("tests/run/test_rescued_wal.py",),
    "run/own_links.py": ("tests/run/test_own_links.py",),
    "run/later_runs.py": ("tests/run/test_later_runs.py", "tests/run/test_run_directory.py"),
    "run/run_directory.py": (
        "tests/run/test_run_directory.py",
        "tests/refusals/test_wrong_state.py",
        "tests/faults/test_state_directory.py",
        "tests/e2e/test_plans.py",
    ),
    "run/plan_file.py": ("tests/run/test_run_directory.py", "tests/e2e/test_plans.py"),
    "config/state.py": (
        "tests/run/test_run_directory.py",
        "tests/faults/test_state_directory.py",
        "tests/doctor",
    ),
    "survey/quota.py": ("tests/survey/test_quota.py",),
    "survey/seen.py": ("tests/e2e/test_plans.py", "tests/faults/test_two_runs.py"),
    "postgres/postmaster.py": (
        "tests/postgres/test_formats.py",
        "tests/refusals/test_guards.py",
        "tests/refusals/test_service_failures.py",
        _MATRIX,
    ),
}
"""The safety code, and the tests that cover it, the quick ones first."""

_LINE = 90
"""Characters that a mutant is told in."""
_TURNED: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
_SHELL = (
    (r" \|\|\s+(stop|continue) [^\n]*", ""),
    (r" \|\| continue", ""),
    (r" -ne ", " -eq "),
    (r" -eq ", " -ne "),
    (r"exit 255", "exit 1"),
    (r"\[ -[a-z] [^\]]+ \]", "true"),
    (r"\[ -[a-z] [^\]]+ \]", "false"),
)
"""In the text of a shell script: what is looked for, and what is put there."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One place in a module, and what is written there instead."""

    module: str
    line: int
    begin: int
    """Offset in the module's bytes."""
    end: int
    text: str
    what: str
    takes_out: bool = False
    """Whether a whole guard is gone: what it refuses is let through."""

    def applied(self, source: bytes) -> bytes:
        """The module with this one change."""
        return source[: self.begin] + self.text.encode() + source[self.end :]


class Finder(ast.NodeVisitor):
    """Collects the mutants of one module."""

    def __init__(self, module: str, source: bytes) -> None:
        self._module = module
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self.found: list[Mutant] = []

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.dump(node.test):
            return
        for forced in ("False", "True"):
            what = f"`if {self._text(node.test)}` forced to {forced}"
            takes_out = _refuses(node.orelse if forced == "True" else node.body)
            self._replace(node.test, forced, what, takes_out=takes_out)
        self._within(node.test)
        for part in (*node.body, *node.orelse):
            # Without its condition a lone `raise` is gone already.
            if not (isinstance(part, ast.Raise) and [part] == node.body):
                self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """A table of checks: without a row, its check is never asked."""
        if self._text(node.target).endswith("CHECKS") and isinstance(node.value, ast.Tuple):
            for row in node.value.elts:
                self._replace(row, "*()", f"row `{self._text(row)}` removed", takes_out=True)
        else:
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        for forced in ("False", "True"):
            self._replace(node.test, forced, f"`{self._text(node.test)}` forced to {forced}")
        self._within(node.test)
        self.visit(node.body)
        self.visit(node.orelse)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._replace(condition, "True", f"filter `{self._text(condition)}` removed")
            self._within(condition)
        self.visit(node.iter)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        neutral, word = ("True", "and") if isinstance(node.op, ast.And) else ("False", "or")
        for part in node.values:
            self._replace(part, neutral, f"`{self._text(part)}` taken out of an `{word}`")
            self._within(part)

    def visit_Compare(self, node: ast.Compare) -> None:
        for (left, right), operator in zip(
            pairwise((node.left, *node.comparators)), node.ops, strict=True
        ):
            turned = _TURNED[type(operator)]
            text = f"{self._text(left)} {turned} {self._text(right)}"
            self._put(self._after(left), self._before(right), f" {turned} ", node.lineno, text)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """A shell script's guards are in its text."""
        if not isinstance(node.value, str) or " || " not in node.value:
            return
        begin = self._before(node)
        script = self._source[begin : self._after(node)].decode()
        for pattern, instead in _SHELL:
            for found in re.finditer(pattern, script):
                at = begin + len(script[: found.start()].encode())
                line = node.lineno + script.count("\n", 0, found.start())
                end = at + len(found[0].encode())
                what = f"`{found[0]}` becomes `{instead}`"
                self._put(at, end, instead, line, what, takes_out=not instead)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            inner = self._text(node.operand)
            self._replace(node, f"({inner})", f"`not {inner}` without its not")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "pass", f"`{self._text(node)}` removed", takes_out=True)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """What is in a message is no guard, and before Python 3.12 has no position."""

    def _within(self, condition: ast.expr) -> None:
        """The inside of a condition that is forced as a whole, where turning it adds nothing."""
        is_plain = isinstance(condition, ast.Compare) and not any(
            isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for operator in condition.ops
        )
        if is_plain or isinstance(condition, ast.UnaryOp):
            self.generic_visit(condition)
        else:
            self.visit(condition)

    def _before(self, node: ast.expr) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _after(self, node: ast.AST) -> int:
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _replace(
        self, node: ast.expr | ast.stmt, text: str, what: str, *, takes_out: bool = False
    ) -> None:
        begin = self._starts[node.lineno - 1] + node.col_offset
        self._put(begin, self._after(node), text, node.lineno, what, takes_out=takes_out)

    def _put(
        self, begin: int, end: int, text: str, line: int, what: str, *, takes_out: bool = False
    ) -> None:
        mutant = Mutant(self._module, line, begin, end, text, _short(what), takes_out)
        self.found.append(mutant)

    def _text(self, node: ast.AST) -> str:
        return ast.unparse(node)


def _refuses(body: Sequence[ast.stmt]) -> bool:
    """Whether a branch, as far as no other condition is asked in it, ends in a refusal."""
    for statement in body:
        if isinstance(statement, ast.Raise):
            return True
        if not isinstance(statement, ast.If | ast.For | ast.While | ast.Try | ast.With):
            text = ast.unparse(statement)
            if "blocker" in text or "Obstacle(" in text:
                return True
    return False


def _short(what: str) -> str:
    line = " ".join(what.split())
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"


def mutants_of(module: str) -> list[Mutant]:
    """Every mutant of a module that is still Python, in the order of its lines."""
    source = _path(ROOT, module).read_bytes()
    finder = Finder(module, source)
    finder.visit(ast.parse(source))
    unlike = {
        mutant.applied(source): mutant for mutant in finder.found if _is_python(mutant, source)
    }
    unlike.pop(source, None)
    return sorted(unlike.values(), key=lambda mutant: (mutant.begin, mutant.text))


def _is_python(mutant: Mutant, source: bytes) -> bool:
    try:
        ast.parse(mutant.applied(source))
    except SyntaxError:
        return False
    return True


def _path(root: Path, module: str) -> Path:
    return root / "pgrescue" / module


class Laboratory:
    """A copy of the tree in which mutants live and tests run."""

    def __init__(self, place: Path) -> None:
        self.root = place / "tree"
        self._compiled = place / "compiled"
        ignored = shutil.ignore_patterns(".*", "__pycache__", "*.pyc")
        shutil.copytree(ROOT, self.root, ignore=ignored)
        place.chmod(0o755)  # the server's account reads the scripts in it

    def passes(self, module: str, timeout: float) -> bool:
        """Whether the tests of a module pass; one that hangs has noticed something."""
        # Compiled files are told apart by their time, to the second: too coarse for mutants.
        shutil.rmtree(self._compiled, ignore_errors=True)
        process = subprocess.Popen(
            (
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                *COVERED_BY[module],
            ),
            cwd=self.root,
            env={
                **os.environ,
                "PYTHONPATH": str(self.root),
                "PYTHONPYCACHEPREFIX": str(self._compiled),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(process)

    def notices(self, mutant: Mutant, timeout: float) -> bool:
        """Whether a test fails with this mutant in place."""
        path = _path(self.root, mutant.module)
        source = path.read_bytes()
        path.write_bytes(mutant.applied(source))
        try:
            return not self.passes(mutant.module, timeout)
        finally:
            path.write_bytes(source)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End tests that are still at work; asked first, their fixtures stop their servers."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code says whether a mutant has survived."""
    options = _options().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    modules = options.module or list(COVERED_BY)
    mutants = [mutant for module in modules for mutant in mutants_of(module)]
    if options.guards:
        mutants = [mutant for mutant in mutants if mutant.takes_out]
    if options.limit is not None and options.limit < len(mutants):
        mutants = random.Random(options.seed).sample(mutants, options.limit)
        mutants.sort(key=lambda mutant: (modules.index(mutant.module), mutant.begin))
    if options.list:
        _say(f"{mutant.module}:{mutant.line}: {mutant.what}" for mutant in mutants)
        return 0
    with tempfile.TemporaryDirectory(prefix="pgrescue-mutants-") as place:
        return _judge(Laboratory(Path(place)), mutants, options.timeout)


def _judge(laboratory: Laboratory, mutants: Sequence[Mutant], timeout: float | None) -> int:
    killed: dict[str, int] = {}
    survived: list[Mutant] = []
    limits: dict[str, float] = {}
    for mutant in mutants:
        if mutant.module not in limits:
            began = time.monotonic()
            if not laboratory.passes(mutant.module, 3600.0):
                _say([f"{mutant.module}: its tests fail without any mutant; mend them first"])
                return 2
            limits[mutant.module] = timeout or 60.0 + 3 * (time.monotonic() - began)
        noticed = laboratory.notices(mutant, limits[mutant.module])
        if noticed:
            killed[mutant.module] = killed.get(mutant.module, 0) + 1
        else:
            survived.append(mutant)
        verdict = "killed  " if noticed else "SURVIVED"
        _say([f"{verdict} {mutant.module}:{mutant.line}: {mutant.what}"])
    for module in limits:
        left = sum(mutant.module == module for mutant in survived)
        _say([_score(module, killed.get(module, 0), left)])
    _say([_score("all", sum(killed.values()), len(survived))])
    return 1 if survived else 0


def _score(name: str, killed: int, survived: int) -> str:
    total = killed + survived
    return f"{name}: {killed} of {total} killed, {100 * killed / max(total, 1):.0f} %"


def _say(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _options() -> argparse.ArgumentParser:
    summary, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument(
        "--module",
        action="append",
        choices=list(COVERED_BY),
        metavar="MODULE",
        help="a module below pgrescue/, repeatable (default: all): " + ", ".join(COVERED_BY),
    )
    parser.add_argument("--guards", action="store_true", help="only take out whole guards")
    parser.add_argument("--limit", type=int, metavar="N", help="no more than N mutants, by chance")
    parser.add_argument("--seed", type=int, default=1, help="chooses them (default: 1)")
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="for the tests of one mutant (default: a minute and three times what they take)",
    )
    parser.add_argument("--list", action="store_true", help="only name the mutants")
    return parser


if __name__ == "__main__":
    sys.exit(main())
