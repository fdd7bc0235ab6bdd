"""The directory of one demo: what is in it, making it, and taking it away."""

from __future__ import annotations

import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pgrescue.demo.account import can_enter, server_account
from pgrescue.demo.binaries import COPY
from pgrescue.errors import UsageError

_PREFIX = "pgrescue-demo-"


@dataclass(frozen=True, slots=True)
class DemoDirectory:
    """Where a demo keeps its cluster, configuration and state."""

    path: Path

    @property
    def cluster(self) -> Path:
        """The sandbox, the one part that belongs to the server's account."""
        return self.path / "cluster"

    @property
    def config(self) -> Path:
        """The configuration that names the sandbox."""
        return self.path / "pgrescue.toml"

    @property
    def state(self) -> Path:
        """The state directory of every pgrescue that works on this demo."""
        return self.path / "state"

    @property
    def truth(self) -> Path:
        """What really happened, written last: its presence makes a demo complete."""
        return self.path / "truth.json"

    @property
    def is_complete(self) -> bool:
        """Whether a demo was built here to its end."""
        return self.truth.exists() and self.config.exists()

    def clear(self) -> None:
        """Delete what a demo puts here, and the directory if nothing else is in it."""
        for path in (self.truth, self.config):
            path.unlink(missing_ok=True)
        for path in (self.cluster, self.state, *self.path.glob(f"{COPY}*")):
            if path.exists():
                shutil.rmtree(path)
        if not any(self.path.iterdir()):
            self.path.rmdir()


def fresh_directory() -> DemoDirectory:
    """A new temporary directory that the server's account can enter."""
    account = server_account()
    places = [
        place
        for place in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))
        if place.is_dir() and can_enter(account, place)
    ]
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=places[0] if places else None))
    return _opened(made)


def chosen_directory(path: Path) -> DemoDirectory:
    """The directory that was asked for: new, empty, or with a demo in it already.

    Raises `UsageError` if something else is in it, or the server's account cannot get there.
    """
    path = path.absolute()
    is_new = not path.exists()
    try:
        path.mkdir(mode=0o755, exist_ok=True)
        is_empty = not any(path.iterdir())
    except OSError as error:
        raise UsageError(f"{path} cannot be used for a demo.", str(error)) from error
    if is_empty or DemoDirectory(path).is_complete:
        try:
            return _opened(path)
        except UsageError:
            if is_new:
                path.rmdir()
            raise
    raise UsageError(
        f"{path} is not empty and holds no complete demo.",
        "A demo is only built in a new or empty directory.",
        next_steps=(f"pgrescue demo --dir {path}/demo", "or leave --dir out"),
    )


def _opened(path: Path) -> DemoDirectory:
    """Let the server's account pass through the directory; only root needs to, and can."""
    account = server_account()
    if account.must_switch and not can_enter(account, path):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(0o755)
        if not can_enter(account, path):
            path.chmod(mode)
            raise UsageError(
                f"The account '{account.name}' cannot get to {path}.",
                "PostgreSQL refuses to run as root, so the demo's server runs as that account, "
                "and a directory above is closed to it.",
                next_steps=(f"pgrescue demo --dir /var/tmp/{_PREFIX}1", "or leave --dir out"),
            )
    return DemoDirectory(path)
