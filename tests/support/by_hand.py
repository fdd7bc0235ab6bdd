"""Running a plan's shell script as a DBA does, where pgrescue is not installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.source import Source

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""No virtual environment, so no pgrescue."""


def script_of(source: Source, *options: str) -> Path:
    """The plan's script, in a file."""
    path = source.workspace.path / "by-hand.sh"
    completed = source.workspace.run("plan", *options, "--format", "shell", check=True)
    path.write_text(completed.stdout)
    return path


def run_by_hand(script: Path, *arguments: str) -> None:
    """Run a script as a DBA would, on a machine that has never seen pgrescue."""
    completed = subprocess.run(
        ("bash", str(script), *arguments),
        env={"PATH": SYSTEM_PATH},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=90,
        check=False,
    )
    said = f"{completed.stdout}\n{completed.stderr}"
    assert completed.returncode == 0, f"exit code {completed.returncode}\n{said}"
