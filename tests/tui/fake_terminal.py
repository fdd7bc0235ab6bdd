"""The UI on a real terminal with a hand-made world: `python -m tests.tui.fake_terminal`."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

from pgrescue.tui.environment import prepare_environment

prepare_environment()

from pgrescue.tui.application import RescueApp  # noqa: E402 - reads the environment
from pgrescue.tui.lifeline import Lifeline  # noqa: E402 - reads the environment
from tests.tui import snapshots  # noqa: E402 - imports the above
from tests.tui.fake_bridge import FakeBridge  # noqa: E402 - imports the above


def _busy(bridge: FakeBridge) -> None:
    """A run with fifty lines of output a second and progress every second."""
    tick = threading.Event()
    number = 0
    while not tick.wait(0.5):
        number += 25
        view = snapshots.extracting(datetime.now(UTC))
        progress = view.state.progress
        assert progress is not None
        state = replace(
            view.state, progress=replace(progress, done_bytes=progress.done_bytes + number << 20)
        )
        log = tuple(
            f"base/16384/{n} restored, checksum {n * 7919:08x}" for n in range(number, number + 25)
        )
        bridge.view = replace(view, state=state, log=log)


def main() -> None:
    """Open on a busy run."""
    bridge = FakeBridge(at_work=snapshots.RUN)
    threading.Thread(target=_busy, args=(bridge,), daemon=True).start()
    lifeline = Lifeline(lambda: app.exit())
    app = RescueApp(bridge, lifeline=lifeline)
    with lifeline.held():
        app.run(mouse=False)


if __name__ == "__main__":
    main()
