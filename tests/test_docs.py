"""What the documents say about the tests holds: every test that they name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from scripts.mutate import COVERED_BY

ROOT = Path(__file__).parents[1]
FAULTS = ROOT / "docs" / "faults.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _named_in(document: Path) -> list[tuple[str, str]]:
    return sorted(set(_NAMED.findall(document.read_text())))


def _tests_in(path: Path) -> set[str]:
    """The names of a module's tests, without importing it."""
    if not path.exists():
        return set()
    nodes = ast.walk(ast.parse(path.read_text()))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


@pytest.mark.parametrize(
    ("module", "name"), [pytest.param(*named, id="::".join(named)) for named in _named_in(FAULTS)]
)
def test_the_proof_of_a_promise_exists(module: str, name: str) -> None:
    assert name in _tests_in(ROOT / module), f"{FAULTS.name} names {module}::{name}"


def test_every_promise_has_a_proof() -> None:
    rows = [line for line in FAULTS.read_text().splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith(("| Fault", "| ---"))]
    assert promises
    assert [row for row in promises if not _NAMED.search(row)] == []


@pytest.mark.parametrize("module", COVERED_BY)
def test_mutants_of_safety_code_meet_tests(module: str) -> None:
    assert (ROOT / "pgrescue" / module).exists()
    for named in COVERED_BY[module]:
        path, _, name = named.partition("::")
        assert (ROOT / path).exists(), named
        assert not name or name in _tests_in(ROOT / path), named


def test_every_check_is_mutated() -> None:
    checks = {path.name for path in (ROOT / "pgrescue/plan/checks").glob("*.py")}
    covered = {Path(module).name for module in COVERED_BY if module.startswith("plan/checks/")}
    assert checks <= covered
