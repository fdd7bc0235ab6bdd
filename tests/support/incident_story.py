"""A history of incidents, and of all that only looks like one, in which the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgrescue.demo.account import run_tool
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.lsn import Lsn
from tests.support.busy_history import SEGMENT_SIZE, segment_start
from tests.support.cluster import Workspace
from tests.support.incident_scenes import (
    drops,
    drops_in_disguise,
    furnish,
    maintenance,
    mass_changes,
    ordinary_work,
    promises,
    second_thoughts,
    short_lives,
    truncations,
)
from tests.support.incident_stage import Expected, Innocent, Stage, testify
from tests.support.waldump import Ending, endings, read_records

Act = Callable[[Stage], None]
ACTS: tuple[Act, ...] = (
    promises,
    maintenance,
    second_thoughts,
    truncations,
    short_lives,
    mass_changes,
    drops,
    ordinary_work,
    # What is prepared would keep the catalogs from being rewritten.
    Stage.keep_promises,
    drops_in_disguise,
)
"""All scenes, in an order in which they do not get in each other's way."""

SETTINGS = {"max_prepared_transactions": "10", "autovacuum": "off", "checkpoint_timeout": "1h"}


@dataclass(frozen=True, slots=True)
class IncidentStory:
    """The cluster, its archive and backups, and what must and must not be found in the archive."""

    sandbox: Sandbox
    packed: Path
    """A base backup as tar.gz, from before all that happens."""
    plain: Path
    """The same as plain files; its tablespaces are in the sandbox's `plain-tablespaces`."""
    expected: Sequence[Expected]
    """In the order of their commits."""
    innocents: Sequence[Innocent]
    endings: Sequence[Ending]
    start: Lsn
    """Where the story begins: before it are the backups and what they contain."""

    @property
    def archive(self) -> Path:
        """Where the WAL is."""
        return self.sandbox.wal

    def scene_at(self, lsn: Lsn) -> str:
        """What was happening at a position, for messages."""
        for innocent in self.innocents:
            if innocent.start <= lsn < innocent.end:
                return innocent.scene
        for incident in self.expected:
            if incident.first_lsn <= lsn <= incident.lsn:
                return incident.scene
        return "before the story" if lsn < self.start else "between the scenes"


def make_story(
    workspace: Workspace,
    binaries: ServerBinaries,
    *,
    name: str = "story",
    settings: Mapping[str, str] | None = None,
    acts: Sequence[Act] = ACTS,
    stop: bool = True,
) -> IncidentStory:
    """Stage it; the WAL is archived to the end, and nothing runs unless `stop` is false.

    `settings` are the server's, such as `wal_level=logical` or `wal_compression=on`.
    """
    sandbox = workspace.sandbox(binaries, name)
    sandbox.init(1, settings=SETTINGS | dict(settings or {}))
    sandbox.start()
    stage = Stage(sandbox)
    try:
        furnish(stage)
        packed = sandbox.base_backup("packed", "-Ft", "-Z", "1", "-l", "packed")
        plain = sandbox.base_backup("plain", "-l", "plain", *_elsewhere(sandbox))
        start = Lsn.parse(sandbox.sql("select pg_current_wal_insert_lsn()")[0])
        for act in acts:
            act(stage)
    finally:
        stage.close()
    last = sandbox.switch_wal()
    if stop:
        sandbox.stop("immediate")
    end = Lsn(segment_start(last) + SEGMENT_SIZE)
    records = read_records(sandbox.account, binaries, sandbox.wal, 1, start, end)
    ended = endings(records)
    expected = testify(stage, records, ended)
    return IncidentStory(sandbox, packed, plain, expected, stage.innocents, ended, start)


def _elsewhere(sandbox: Sandbox) -> list[str]:
    """Options that put the tablespaces of a plain backup into directories of their own."""
    place = sandbox.directory / "plain-tablespaces"
    run_tool(sandbox.account, ("mkdir", "-m", "700", str(place)), cwd=Path("/"))
    return [
        f"--tablespace-mapping={tablespace}={place / tablespace.name}"
        for tablespace in sorted(sandbox.tablespaces.iterdir())
    ]
