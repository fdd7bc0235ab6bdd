"""The kinds of plans that runs are struck in: what they restore, from what, and to where."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pgrescue.demo.binaries import Origin, ServerBinaries
from tests.support.cluster import Workspace
from tests.support.source import Source

Form = Literal["tar", "plain"]
End = Literal["open", "pause", "shutdown", "standby"]
_FORMS: Mapping[Form, tuple[str, ...]] = {"tar": ("-Ft", "-z", "-Xs"), "plain": ("-Fp", "-Xs")}
_QUIET = {"autovacuum": "off", "checkpoint_timeout": "1d", "jit": "off"}
_TABLE = "create table elsewhere tablespace {} as select n from generate_series(1, 9000) n"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of plan, and the cluster that it is made for."""

    name: str
    form: Form = "tar"
    origin: Origin = "installed"
    """The server binaries to play it with; with one set of them, those."""
    clone: bool = False
    tablespaces: bool = False
    delete: bool = False
    chain: bool = False
    linked_wal: bool = False
    stays: bool = False
    """The data directory cannot be renamed: a mount point, or its parent is closed to us."""
    end: End = "open"
    """How the restored server is left; a pause is resumed, so that it is open in the end, too."""
    running: bool = False
    """The old server runs; else it was stopped, so that its bytes stand still."""

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of the plan."""
        names = ["rescue_wal"] if self.clone else ["stop", "rescue_wal", "set_aside"]
        names += ["extract", "combine"] if self.chain else ["extract"]
        names += ["place_wal", "configure", "complete", "start", "replay", "verify"]
        names += {"open": ["tidy"], "pause": ["promote", "tidy"]}.get(self.end, [])
        return (*names, "delete_old") if self.delete else tuple(names)

    @property
    def base_options(self) -> tuple[str, ...]:
        """Options of pg_basebackup."""
        return _FORMS[self.form]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("tar"),
        Kind("plain with tablespaces", form="plain", tablespaces=True, origin="embedded"),
        Kind("tablespaces, old data deleted", tablespaces=True, delete=True, origin="embedded"),
        Kind("plain, old data deleted", form="plain", delete=True),
        Kind("clone with tablespaces", clone=True, tablespaces=True),
        Kind("clone of plain", clone=True, form="plain", origin="embedded"),
        Kind("chain", chain=True, tablespaces=True, origin="embedded"),
        Kind("linked pg_wal", linked_wal=True),
        Kind("directory that stays", stays=True, form="plain", origin="embedded"),
        Kind("pause", end="pause", running=True),
        Kind("shutdown", end="shutdown"),
        Kind("standby", end="standby", form="plain", running=True),
        Kind("running server", running=True, tablespaces=True, origin="embedded"),
    )
}


@dataclass(slots=True)
class Built:
    """A kind's cluster with its backups, stopped."""

    source: Source
    places: list[Path] = field(default_factory=list)
    """Where parts of the cluster lie outside the data directory."""


def build(kind: Kind, workspace: Workspace, binaries: ServerBinaries) -> Built:
    """Epochs before the backup, after it in the archive, and one that only `pg_wal` has."""
    settings = _QUIET | ({"summarize_wal": "on"} if kind.chain else {})
    source = Source.make(workspace, binaries, settings=settings)
    sandbox = source.sandbox
    if kind.linked_wal:
        _move_wal_away(source)
    options = kind.base_options
    if kind.tablespaces:
        places = [sandbox.create_tablespace(name) for name in ("fast", "empty")]
        sandbox.sql(_TABLE.format("fast"))
        if kind.form == "plain":
            for path in places:
                options += (f"-T{path}={sandbox.backups / f'copy of {path.name}'}",)
    source.backup("full", *options)
    source.log.mark("after the backup")
    if kind.chain:
        manifest = sandbox.backups / "full" / "backup_manifest"
        source.backup("incremental", *options, f"--incremental={manifest}")
        source.log.mark("after the incremental backup")
    sandbox.switch_wal()
    source.log.mark("only in pg_wal")
    sandbox.stop()
    if kind.stays:
        _pin(sandbox.data)
    return Built(source)


def unpin(kind: Kind, data: Path) -> None:
    """Let a directory that had to stay be taken away."""
    if not kind.stays:
        return
    if os.geteuid() == 0:
        subprocess.run(("umount", str(data)), check=True)
    else:
        data.parent.chmod(0o700)


def _pin(data: Path) -> None:
    """What cannot be renamed: a mount point; without root's rights, a child of a closed parent."""
    if os.geteuid() == 0:
        subprocess.run(("mount", "--bind", str(data), str(data)), check=True)
    else:
        data.parent.chmod(0o500)


def _move_wal_away(source: Source) -> None:
    sandbox = source.sandbox
    sandbox.stop()
    disk = sandbox.directory / "wal disk"
    (sandbox.data / "pg_wal").rename(disk)
    (sandbox.data / "pg_wal").symlink_to(disk)
    sandbox.start()
