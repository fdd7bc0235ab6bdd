"""The directions of imports: from the source, and from what a fresh interpreter has loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pgrescue

ROOT = Path(pgrescue.__file__).parent

FLOORS = (
    ("errors", "findings", "printable"),
    ("postgres",),
    ("codec", "compression"),
    ("wal",),
    ("explain",),
    ("catalog",),
    ("config",),
    ("plan",),
    ("backup",),
    ("reseed",),
    ("history",),
    ("retention",),
    ("verify",),
    ("survey",),
    ("run",),
    ("doctor", "desk"),
    ("tui",),
    ("demo",),
    ("cli",),
)
"""From the ground up: a room may import from its own floor and the floors below."""

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def _modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem != "")


def _room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "pgrescue" and len(parts) > 1 else None


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_room_has_a_floor() -> None:
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in _modules()}
    assert rooms - {"__init__", "__main__"} == set(FLOOR_OF)


def test_imports_never_go_up() -> None:
    wrong = []
    for path in _modules():
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for name in _imports(path):
            other = _room(name)
            if room in FLOOR_OF and other in FLOOR_OF and FLOOR_OF[other] > FLOOR_OF[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_planning_does_no_input_or_output() -> None:
    forbidden = {"os", "subprocess", "socket", "shutil", "psycopg", "pathlib.Path"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted([*(ROOT / "plan").rglob("*.py"), *(ROOT / "retention").rglob("*.py")])
        for name in _imports(path)
        if name in forbidden or name.split(".")[0] in forbidden
    ]
    assert not wrong, "\n".join(wrong)


def _loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ["textual", "rich", "numpy"])
def test_the_runner_never_loads_the_terminal_ui(module: str) -> None:
    loaded = _loaded_after("import pgrescue.run.__main__, pgrescue.run.runner")
    assert module not in {name.split(".")[0] for name in loaded}


@pytest.mark.parametrize("module", ["textual", "psycopg", "zstandard", "humanize", "numpy"])
def test_the_command_line_loads_its_work_lazily(module: str) -> None:
    loaded = _loaded_after("import pgrescue.cli.main")
    assert module not in {name.split(".")[0] for name in loaded}


def test_modules_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in _modules()
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert not long
