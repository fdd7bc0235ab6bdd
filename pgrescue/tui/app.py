"""The way in: checks the terminal, reads the configuration, opens the screens."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from pgrescue.config.load import load_config
from pgrescue.config.model import Config
from pgrescue.errors import ExitCode
from pgrescue.tui.environment import prepare_environment, refuse_unsuitable_terminal, wants_ascii
from pgrescue.tui.guardian import guarded


def run_tui(config_path: Path | None, cluster: str | None, notice: str = "") -> int:
    """Open the UI and stay until the operator leaves; returns the process's exit code.

    `notice` is shown at the foot of the overview.
    Raises `UsageError` where there is no usable terminal, configuration, or such cluster.
    """
    refuse_unsuitable_terminal()
    config = load_config(config_path)
    if cluster is not None:
        config.cluster(cluster)
    prepare_environment()
    with guarded():
        return _open(config, cluster, notice)


def _open(config: Config, cluster: str | None, notice: str) -> int:
    # Textual reads its environment when it is imported.
    from pgrescue.tui.application import RescueApp
    from pgrescue.tui.bridge import DeskBridge
    from pgrescue.tui.lifeline import Lifeline

    bridge = DeskBridge(config)
    lifeline = Lifeline(lambda: app.exit())
    app = RescueApp(bridge, cluster, ascii_only=wants_ascii(), lifeline=lifeline, notice=notice)
    with lifeline.held():
        app.run(mouse=False)
    if (run := bridge.running()) is not None:
        # The terminal may have gone; the run has not.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"The run {run} goes on. See it again: pgrescue attach {run}\n")
    return app.return_code if app.return_code is not None else ExitCode.DONE
