"""Making a sandbox known to pgrescue, and the place in which a test does all its work."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from pgrescue.config.model import ClusterConfig, Config
from pgrescue.config.write import render_config, write_config
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import stop_processes_with, stop_servers_below
from pgrescue.demo.sandbox import Sandbox
from tests.support.command import Completed, run_pgrescue


def cluster_config(sandbox: Sandbox, name: str = "main") -> ClusterConfig:
    """What a configuration says about a sandbox; tests change it with `dataclasses.replace`."""
    return sandbox.cluster_config(name)


@dataclass(slots=True)
class Workspace:
    """One directory that a server's account can enter, with sandboxes, configuration and state."""

    path: Path
    sandboxes: list[Sandbox] = field(default_factory=list)

    @classmethod
    def make(cls, place: str = "/tmp") -> Workspace:
        """A fresh one, mostly below /tmp: pytest's own directories are closed to other accounts."""
        path = Path(tempfile.mkdtemp(prefix="pgrescue-test-", dir=place))
        path.chmod(0o755)
        return cls(path)

    @property
    def config(self) -> Path:
        """The configuration file that `configure` writes."""
        return self.path / "pgrescue.toml"

    @property
    def state(self) -> Path:
        """The state directory of every pgrescue that `run` starts."""
        return self.path / "state"

    def sandbox(self, binaries: ServerBinaries, name: str = "main") -> Sandbox:
        """A sandbox of that name, not initialised yet."""
        sandbox = Sandbox(self.path / name, binaries)
        self.sandboxes.append(sandbox)
        return sandbox

    def configure(self, *clusters: ClusterConfig, time_zone: str | None = "UTC") -> Path:
        """Write (again) the configuration with these clusters; returns its path."""
        self.config.unlink(missing_ok=True)
        known = {cluster.name: cluster for cluster in clusters}
        configuration = Config(path=self.config, clusters=known, time_zone=time_zone)
        write_config(self.config, render_config(configuration))
        return self.config

    def run(self, *args: str, check: bool = False, input: str | None = None) -> Completed:
        """Run pgrescue on this workspace's configuration and state."""
        return run_pgrescue(*args, config=self.config, state=self.state, check=check, input=input)

    def destroy(self) -> None:
        """End runners, then servers (clones included), and delete everything."""
        stop_processes_with("PGRESCUE_STATE", str(self.state))
        stop_servers_below(self.path)
        for sandbox in self.sandboxes:
            sandbox.destroy()
        shutil.rmtree(self.path)
