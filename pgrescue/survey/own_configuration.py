"""What of a server's configuration is in its data directory, and would go with it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pgrescue.postgres.conf_file import parse_includes
from pgrescue.postgres.data_directory import AUTO_CONF, read_assignments
from pgrescue.reseed.model import OwnConfiguration

_MAIN = "postgresql.conf"
_USUAL_FILES = ("pg_hba.conf", "pg_ident.conf")
_NAMING = {
    "hba_file": None,
    "ident_file": None,
    "krb_server_keyfile": None,
    "ssl_ca_file": None,
    "ssl_cert_file": "server.crt",
    "ssl_crl_dir": None,
    "ssl_crl_file": None,
    "ssl_dh_params_file": None,
    "ssl_key_file": "server.key",
}
"""Settings that name a file or directory, relative to the data directory, and their defaults."""
_IN_RULES = re.compile(r"^\s*include\w*\s+\"?([^\"\s]+)|(?:^|[\s,])@\"?([^\s,\"]+)")
"""In `pg_hba.conf` and `pg_ident.conf`: a file included, or one with names (`hba.c`)."""
_DEPTH = 10
_DATA = re.compile(r"(?:base|global|pg_[a-z_]+)(?:/|$)")
"""Directories of the server's own, of which nothing old may come into the copy."""


def own_configuration(data_directory: Path, config_directory: str | None) -> OwnConfiguration:
    """Look at it; what we may not read counts as empty, as does what is not there."""
    home = Path(config_directory or data_directory)
    settings = _settings(home / _MAIN)
    altered = _settings(data_directory / AUTO_CONF)
    found: dict[str, None] = {}
    for path in _parts(data_directory, home, {**settings, **altered}):
        name = _inside(str(data_directory), path)
        if name is None or name == AUTO_CONF or _DATA.match(name):
            continue
        if os.path.lexists(data_directory / name):
            found[name] = None
    return OwnConfiguration(tuple(found), settings, altered)


def _settings(file: Path) -> dict[str, str]:
    try:
        return dict(read_assignments(file))
    except PermissionError:
        return {}


def _parts(data: Path, home: Path, settings: dict[str, str]) -> Iterator[Path]:
    yield home / _MAIN
    yield from _included(home / _MAIN, parse_includes)
    for name, usual in _NAMING.items():
        if named := settings.get(name) or usual:
            yield data / named
    usual_rules = [home / name for name in _USUAL_FILES]
    named_rules = [data / settings[name] for name in ("hba_file", "ident_file") if name in settings]
    for rules in (*usual_rules, *named_rules):
        yield rules
        yield from _included(rules, _named_in_rules)


def _included(
    file: Path, named_in: Callable[[str], list[tuple[str, str]]], depth: int = _DEPTH
) -> Iterator[Path]:
    """Files and directories that a file takes in, and those that they do."""
    if not depth:
        return
    try:
        text = file.read_text(errors="surrogateescape")
    except OSError:
        return
    for _, name in named_in(text):
        path = file.parent / name
        yield path
        files = sorted(path.glob("*.conf")) if path.is_dir() else [path]
        for one in files:
            yield from _included(one, named_in, depth - 1)


def _named_in_rules(text: str) -> list[tuple[str, str]]:
    lines = (line.partition("#")[0] for line in text.splitlines())
    return [
        ("include", included or named)
        for line in lines
        for included, named in _IN_RULES.findall(line)
    ]


def _inside(data: str, path: Path) -> str | None:
    """Its name relative to the data directory, or that of the link in there on the way to it."""
    place = os.path.normpath(path)
    if not place.startswith(f"{data}/"):
        place = os.path.join(os.path.realpath(os.path.dirname(place)), os.path.basename(place))
    if not place.startswith(f"{data}/"):
        return None
    name = ""
    for part in place[len(data) + 1 :].split("/"):
        name = f"{name}/{part}" if name else part
        if os.path.islink(f"{data}/{name}"):
            break
    return name
