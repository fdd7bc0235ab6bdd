"""What command lines, configurations and states of high-availability managers say; pure.

Formats: Patroni 2 to 4 (`patroni.yml`, `patroni.dynamic.json`, GET /patroni), repmgr 4 and 5
(`repmgr.conf`, `repmgrd_state.txt` as `repmgrd_pause()` in `repmgr.c` writes it), pg_autoctl 1
and 2, stolon-keeper, Pacemaker's `cib.xml`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from xml.etree import ElementTree

from pgrescue.plan.checks.manager import UNITS
from pgrescue.plan.facts import ManagerName

_INTERPRETER = re.compile(r"(python|pypy)[\d.]*$")
_PROGRAMS: dict[str, ManagerName] = {
    "patroni": "Patroni",
    "repmgrd": "repmgrd",
    "pg_autoctl": "pg_auto_failover",
    "stolon-keeper": "Stolon",
    "pacemakerd": "Pacemaker",
}
_WITH_A_VALUE = ("-X", "-W", "--check-hash-based-pycs")
"""Options of Python that are followed by a word of their own."""
_PACEMAKERS_DEFAULT = "/var/lib/pgsql/data"
_AGENTS = ("pgsql", "pgsqlms")
_SETTING = re.compile(r"""( *)([\w.-]+)\s*:(?:\s+(.*))?$""")
_ASSIGNMENT = re.compile(r"""^\s*([\w.]+)\s*=\s*(?:'((?:[^']|'')*)'|"([^"]*)"|([^\s#]*))""", re.M)


def manager_of(argv: Sequence[str]) -> ManagerName | None:
    """The manager that a command line starts; None for anything else, its own tools included."""
    program, arguments = _program(argv)
    if program == "manager" and tuple(arguments[:2]) == ("instance", "run"):
        return "CloudNativePG"  # its program is called just so
    name = _PROGRAMS.get(program)
    if name == "pg_auto_failover" and "run" not in arguments[:1] and "--run" not in arguments:
        return None  # such as `pg_autoctl show state`
    return name


def manager_of_unit(unit: str) -> ManagerName | None:
    """The manager that a systemd unit (without `.service`) is called after, instances included."""
    stem = unit.partition("@")[0]
    return UNITS.get(stem) or UNITS.get(stem.rstrip("-0123456789"))


def option(argv: Sequence[str], *names: str) -> str | None:
    """The value of an option, given as `--name VALUE`, `--name=VALUE` or `-n VALUE`."""
    for number, word in enumerate(argv):
        given, equals, value = word.partition("=")
        if given in names and equals:
            return value
        if word in names and number + 1 < len(argv):
            return argv[number + 1]
    return None


def first_argument(argv: Sequence[str]) -> str | None:
    """What stands first behind the program and is no option: Patroni's configuration."""
    _, arguments = _program(argv)
    return next((word for word in arguments if not word.startswith("-")), None)


def _program(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The program's name, also that of a script under an interpreter, and its arguments."""
    if not argv:
        return "", ()
    name, rest = PurePath(argv[0]).name, argv[1:]
    if not _INTERPRETER.match(name):
        return name, rest
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        rest = rest[2 if rest[0] in _WITH_A_VALUE else 1 :]
    if rest and rest[0] == "-m":
        rest = rest[1:]
    return (PurePath(rest[0]).name.removesuffix(".py"), rest[1:]) if rest else ("", ())


def yaml_settings(text: str) -> dict[str, str]:
    """The scalars of YAML in block style (or JSON), by dotted path.

    Lists, anchors and flow style are passed over: what is not found counts as unknown.
    """
    try:
        return dict(_flat(json.loads(text)))
    except ValueError:
        pass  # it is YAML, then
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        matched = _SETTING.match(line)
        if matched is None:
            continue
        depth, name, value = len(matched[1]), matched[2], _scalar(matched[3] or "")
        while above and above[-1][0] >= depth:
            above.pop()
        above.append((depth, name))
        if value:
            found[".".join(part for _, part in above)] = value
    return found


def _scalar(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return re.split(r"\s+#|^#", text)[0].strip()


def _flat(plain: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(plain, dict):
        for name, value in plain.items():
            yield from _flat(value, f"{path}.{name}" if path else str(name))
    elif isinstance(plain, str | int | float):
        yield path, str(plain)


def assignments(text: str) -> dict[str, str]:
    """The settings of a `repmgr.conf`, which is written as `postgresql.conf` is."""
    return {
        name: single.replace("''", "'") or double or bare
        for name, single, double, bare in _ASSIGNMENT.findall(text)
    }


def says_pause(text: str, scope: str | None = None) -> bool | None:
    """Whether JSON of Patroni's says that it is paused: the REST API's, or `patroni.dynamic.json`.

    None if it is no such thing, or (from the API) of another scope.
    """
    try:
        plain = json.loads(text)
    except ValueError:
        return None
    if not isinstance(plain, dict):
        return None
    about = plain.get("patroni")
    if scope is not None and not (isinstance(about, dict) and about.get("scope") == scope):
        return None
    return plain.get("pause") is True


def repmgrd_is_paused(text: str) -> bool:
    """Whether `pg_stat/repmgrd_state.txt` says so: the node's number, a colon, 1 or 0."""
    return re.match(r"-?\d+:1\b", text) is not None


@dataclass(frozen=True, slots=True)
class Resource:
    """A server that Pacemaker looks after."""

    name: str
    data_directory: str
    is_managed: bool


def resources_in(text: str) -> list[Resource]:
    """The PostgreSQL servers in Pacemaker's `cib.xml`; raises `ValueError` if it is none.

    Agents: ocf:heartbeat:pgsql and ocf:heartbeat:pgsqlms (PAF).
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    idle = _is_true(_attribute(root, "./configuration/crm_config//nvpair", "maintenance-mode"))
    return list(_resources(root.find("./configuration/resources"), managed=not idle))


def _resources(parent: ElementTree.Element | None, *, managed: bool) -> Iterator[Resource]:
    for item in parent if parent is not None else ():
        own = _attribute(item, "./meta_attributes/nvpair", "is-managed")
        idle = _is_true(_attribute(item, "./meta_attributes/nvpair", "maintenance"))
        here = managed and not idle and (own is None or _is_true(own))
        if item.tag == "primitive" and item.get("type") in _AGENTS:
            place = _attribute(item, "./instance_attributes/nvpair", "pgdata")
            yield Resource(item.get("id", ""), place or _PACEMAKERS_DEFAULT, here)
        elif item.tag in ("group", "clone", "master"):
            yield from _resources(item, managed=here)


def _attribute(root: ElementTree.Element, path: str, name: str) -> str | None:
    return next(
        (pair.get("value") for pair in root.iterfind(path) if pair.get("name") == name), None
    )


def _is_true(value: str | None) -> bool:
    return (value or "").lower() in ("true", "yes", "on", "y", "1")


def units_in(text: str) -> dict[str, str]:
    """Unit (without `.service`) and state, from `systemctl list-units --plain --no-legend`."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0].removesuffix(".service"): row[2] for row in rows if len(row) > 3}
