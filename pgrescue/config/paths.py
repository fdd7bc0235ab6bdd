"""Whether a cluster's configured paths lead anywhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pgrescue.config.errors import ConfigError, ConfigProblem, nearest
from pgrescue.config.model import ClusterConfig

_TOOLS = ("postgres", "pg_ctl")


def check_paths(
    cluster: ClusterConfig, config_path: Path | None, *, backups_may_miss: bool = False
) -> None:
    """Raises `ConfigError` naming every configured path that is missing or of the wrong kind.

    A missing data directory is no problem: that may be the disaster. Nor is a path that we
    have no permission to look at: it may well be right. `backups_may_miss`: nor is a directory
    for backups that is still to be made.
    """
    prefix = f"clusters.{cluster.name}"
    wrong = [
        ConfigProblem(f"{prefix}.{key}", message)
        for key, path in _directories(cluster)
        if (message := _not_a_directory(path))
        and not (backups_may_miss and key.startswith("backups") and not path.exists())
    ]
    for key, message in (
        ("data_directory", _wrong_data_directory(cluster.data_directory)),
        ("bin_directory", _lacks_tools(cluster.bin_directory)),
        ("log", _wrong_log(cluster.log)),
    ):
        if message:
            wrong.append(ConfigProblem(f"{prefix}.{key}", message))
    if wrong:
        raise ConfigError(config_path, wrong)


def _directories(cluster: ClusterConfig) -> list[tuple[str, Path]]:
    """Paths that must be directories, with their keys."""
    found = [(f"backups[{index}]", path) for index, path in enumerate(cluster.backups)]
    for key, path in (
        ("wal_archive", cluster.wal_archive),
        ("bin_directory", cluster.bin_directory),
        ("config_directory", cluster.config_directory),
    ):
        if path is not None:
            found.append((key, path))
    return found


def _mode(path: Path) -> int | None:
    """The file's type and mode, 0 if it does not exist, None if we may not look."""
    try:
        return path.stat().st_mode
    except OSError as error:
        return 0 if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) else None


def _not_a_directory(path: Path) -> str | None:
    mode = _mode(path)
    if mode is None or stat.S_ISDIR(mode):
        return None
    if mode:
        return f"{path} is not a directory"
    if path.is_symlink():
        return f"{path} is a symbolic link to {os.readlink(path)}, which does not exist"
    return f"{path} does not exist{_sibling_hint(path)}"


def _sibling_hint(path: Path) -> str:
    """The existing path nearest to a missing one: the first part that is wrong, corrected."""
    present = path.parent
    while _mode(present) == 0:
        present = present.parent
    missing = path.relative_to(present).parts[0]
    try:
        close = nearest(missing, sorted(os.listdir(present)))
    except OSError:
        return ""
    if close is None:
        return f"; {present} does" if present != Path("/") else ""
    return f"; did you mean {present / close}?"


def _wrong_data_directory(path: Path) -> str | None:
    mode = _mode(path)
    if mode == 0:
        parent = _not_a_directory(path.parent)
        return f"its parent directory is wrong: {parent}" if parent else None
    return None if mode is None or stat.S_ISDIR(mode) else f"{path} is not a directory"


def _lacks_tools(path: Path | None) -> str | None:
    if path is None or not stat.S_ISDIR(_mode(path) or 0):
        return None
    missing = [tool for tool in _TOOLS if _mode(path / tool) == 0]
    if not missing:
        return None
    hint = f"; did you mean {path / 'bin'}?" if _mode(path / "bin" / _TOOLS[0]) else ""
    return f"{path} has no {' and no '.join(missing)} in it{hint}"


def _wrong_log(path: Path | None) -> str | None:
    if path is None:
        return None
    if stat.S_ISDIR(_mode(path) or 0):
        return f"{path} is a directory; name the file in it"
    parent = _not_a_directory(path.parent)
    return f"its directory is wrong: {parent}" if parent else None
