"""Render the screens of a hand-made world as SVG: `python -m scripts.screenshots [DIRECTORY]`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pgrescue.tui.environment import prepare_environment

prepare_environment()
os.environ["COLORTERM"] = "truecolor"
os.environ["TERM"] = "xterm-256color"

from pgrescue.tui.theme import PGRESCUE  # noqa: E402 - reads the environment
from tests.tui import archives, backups, snapshots  # noqa: E402 - imports the above
from tests.tui.fake_bridge import FakeBridge  # noqa: E402 - imports the above
from tests.tui.screen_text import opened, press, see  # noqa: E402 - imports the above

SIZE = (80, 24)
XID = (*["right"] * 5, "down", *"63886")


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: the world, the keys that lead to the screen, and what must be on it."""

    name: str
    bridge: FakeBridge
    keys: tuple[tuple[str, ...], ...]
    wanted: str


def shots() -> tuple[Shot, ...]:
    """The way from the overview to a run and its end."""
    busy = snapshots.extracting(datetime.now(UTC))
    log = tuple(f"base/16384/{n}: checked against the manifest" for n in range(2601, 2620))
    plan = ("enter",), ("enter",), XID, ("enter",)
    chains = (backups.CHAINS,)
    taking = backups.taking(datetime.now(UTC))
    forked = FakeBridge(archive=archives.FORKS, destroyed=(archives.incident(33.5, 3),))
    return (
        # First, while its last sign of life is fresh.
        Shot(
            "backup-run",
            FakeBridge(glances=chains, at_work=snapshots.RUN, view=taking),
            (),
            "WAL streamed",
        ),
        Shot("overview", FakeBridge(), (), snapshots.GOOD.id),
        Shot("catalog", FakeBridge(), (("enter",), ("j",)), "PROBLEM"),
        Shot("incidents", FakeBridge(), (("i",),), "DROP TABLE"),
        Shot("timeline", forked, (("i",), ("w",)), "loses"),
        Shot("target", FakeBridge(), (("enter",), ("enter",), XID), "just before transaction"),
        Shot("plan", FakeBridge(), (*plan, ("2", "j", "j")), "by hand:"),
        Shot("confirm", FakeBridge(), (*plan, ("enter",)), "Cancel"),
        Shot("run", FakeBridge(at_work=snapshots.RUN, view=replace(busy, log=log)), (), "68%"),
        Shot(
            "waiting",
            FakeBridge(at_work=snapshots.RUN, view=snapshots.waiting()),
            (),
            "AT THE TARGET",
        ),
        Shot("backup", FakeBridge(glances=chains), (("b",), ("down",) * 4), "zstd: As small"),
    )


async def render(shot: Shot, directory: Path) -> None:
    """Lead the app there and write its picture."""
    async with opened(shot.bridge, SIZE) as pilot:
        pilot.app.theme = PGRESCUE.name
        newest = shot.bridge.glances[0].newest
        await see(pilot, newest.id if newest and shot.bridge.at_work is None else "steps")
        for keys in shot.keys:
            await press(pilot, *keys)
            await pilot.pause(0.2)
        await see(pilot, shot.wanted)
        await pilot.pause(0.3)
        picture = pilot.app.export_screenshot(title=f"pgrescue: {shot.name}")
    # Nothing is fetched from elsewhere when the picture is shown.
    local = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    local = local.replace("Fira Code", "Fira Code, DejaVu Sans Mono")
    (directory / f"{shot.name}.svg").write_text(local)


def main() -> None:
    """Render all of them."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    directory.mkdir(exist_ok=True)
    for shot in shots():
        asyncio.run(render(shot, directory))


if __name__ == "__main__":
    main()
