"""Finding the configuration file and reading it, with every problem at once."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from pgrescue.config.cluster_table import read_clusters
from pgrescue.config.errors import ConfigError, ConfigProblem, nearest
from pgrescue.config.model import Config
from pgrescue.config.table import Table
from pgrescue.errors import UsageError

FILE_NAME = "pgrescue.toml"
SYSTEM_FILE = Path("/etc/pgrescue") / FILE_NAME
TOP_KEYS = ("time_zone", "notify", "stop_timeout", "start_timeout", "clusters")


class NoConfig(UsageError):
    """None of the places where a configuration may lie has one."""


def user_file() -> Path:
    """The user's own configuration file, whether it exists or not."""
    return (
        Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pgrescue" / FILE_NAME
    )


def load_config(explicit: Path | None) -> Config:
    """The configuration: `explicit`, else the first of the places where one may lie.

    Raises `ConfigError` with everything that is wrong with it, and `UsageError` if there is none.
    """
    path = find_config(explicit)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(path, [ConfigProblem("", f"is not UTF-8 text: {error}")]) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read.",
            str(error.strerror or error),
            next_steps=("name another with -c FILE", "write one: pgrescue init"),
        ) from error
    return parse_config(text, path)


def find_config(explicit: Path | None) -> Path:
    """Which file `load_config` reads; raises `UsageError` if there is none to be found."""
    if explicit is not None:
        return explicit.absolute()
    if named := os.environ.get("PGRESCUE_CONFIG"):
        return Path(named).absolute()
    here = Path.cwd() / FILE_NAME
    if os.path.lexists(here):
        _refuse_foreign(here)
        return here
    places = (user_file(), SYSTEM_FILE)
    for place in places:
        if os.path.lexists(place):
            return place
    raise NoConfig(
        "There is no configuration.",
        f"Looked for {here}, {', '.join(map(str, places))}; PGRESCUE_CONFIG is not set.",
        next_steps=("write one: pgrescue init", "or name one: pgrescue -c FILE"),
    )


def parse_config(text: str, path: Path | None) -> Config:
    """Read a configuration's text; raises `ConfigError` with every problem."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [ConfigProblem("", f"is not valid TOML: {error}")]) from error
    problems: list[ConfigProblem] = []
    base = path.parent if path is not None else Path.cwd()
    top = Table("", values, base, problems)
    top.only(TOP_KEYS)
    config = Config(
        path=path,
        clusters=read_clusters(top),
        time_zone=_time_zone(top),
        notify=top.text("notify"),
        stop_timeout=top.seconds("stop_timeout", 300.0),
        start_timeout=top.seconds("start_timeout", 300.0),
    )
    if problems:
        raise ConfigError(path, problems)
    return config


def _refuse_foreign(path: Path) -> None:
    """A file in the working directory is used unasked only if nobody else could have written it.

    It names commands that run with our rights; the working directory may be `/tmp`.
    """
    state = path.stat()
    writable_by_others = state.st_mode & stat.S_IWOTH
    if state.st_uid in (0, os.geteuid()) and not writable_by_others:
        return
    raise UsageError(
        f"{path} is not trusted.",
        "It can be written by others than you and root, and it names commands that would run "
        "with your rights.",
        next_steps=(f"if it is yours after all: pgrescue -c {path}",),
    )


def _time_zone(top: Table) -> str | None:
    name = top.text("time_zone")
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        close = nearest(name, available_timezones())
        hint = f"did you mean '{close}'?" if close else "write it like 'Europe/Berlin' or 'UTC'"
        top.complain("time_zone", f"there is no time zone '{name}'; {hint}")
        return None
    return name
