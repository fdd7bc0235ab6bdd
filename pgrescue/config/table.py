"""Reading one TOML table key by key, collecting problems instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pgrescue.config.errors import ConfigProblem, nearest

T = TypeVar("T")

_TYPE_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


class Table:
    """A table with its dotted name; what is wrong with it goes to the shared `problems`."""

    def __init__(
        self, name: str, values: Mapping[str, object], base: Path, problems: list[ConfigProblem]
    ) -> None:
        """`base` is the configuration's directory, to name a relative path's absolute reading."""
        self.name = name
        self._values = values
        self._base = base
        self._problems = problems

    def names(self) -> list[str]:
        """The keys that are there, in the file's order."""
        return list(self._values)

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def complain(self, key: str, message: str) -> None:
        """Note a problem with this table's key."""
        self._problems.append(ConfigProblem(f"{self.name}.{key}" if self.name else key, message))

    def only(self, known: tuple[str, ...]) -> None:
        """Note every key that is none of these."""
        for key in self._values:
            if key not in known:
                close = nearest(key, known)
                hint = f"did you mean '{close}'?" if close else f"it can be: {', '.join(known)}"
                self.complain(key, f"there is no such key; {hint}")

    def text(self, key: str) -> str | None:
        """A text value that is not empty."""
        value = self._typed(key, str)
        if value is not None and not value.strip():
            self.complain(key, "is empty; leave the key out instead")
            return None
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A true or false value."""
        value = self._typed(key, bool)
        return default if value is None else value

    def seconds(self, key: str, default: float) -> float:
        """A positive number of seconds."""
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.complain(key, f"must be a number of seconds, not {_shown(value)}")
            return default
        if not 0 < value < float("inf"):
            self.complain(key, f"must be a positive number of seconds, not {value}")
            return default
        return float(value)

    def number(self, key: str) -> int | None:
        """A whole number from 1 on."""
        value = self._values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            self.complain(key, f"must be a whole number, not {_shown(value)}")
            return None
        if value is not None and value < 1:
            self.complain(key, f"must be 1 or more, not {value}; leave the key out instead")
            return None
        return value

    def path(self, key: str) -> Path | None:
        """An absolute path."""
        value = self.text(key)
        return None if value is None else self._absolute(key, value)

    def paths(self, key: str) -> tuple[Path, ...]:
        """A list of absolute paths."""
        value = self._values.get(key, [])
        if isinstance(value, str):
            self.complain(key, f'must be a list of paths: {key} = ["{value}"]')
            return ()
        if not isinstance(value, list):
            self.complain(key, f"must be a list of paths, not {_shown(value)}")
            return ()
        found = []
        for index, item in enumerate(value):
            where = f"{key}[{index}]"
            if not isinstance(item, str) or not item.strip():
                self.complain(where, f"must be a path, not {_shown(item)}")
            elif (path := self._absolute(where, item)) is not None:
                found.append(path)
        return tuple(found)

    def table(self, key: str) -> Table | None:
        """A table inside this one."""
        value = self._typed(key, dict)
        if value is None:
            return None
        name = f"{self.name}.{key}" if self.name else key
        return Table(name, value, self._base, self._problems)

    def _absolute(self, key: str, value: str) -> Path | None:
        path = Path(value)
        if path.is_absolute() and "\0" not in value:
            return path
        if "\0" in value:
            self.complain(key, "holds a NUL character")
            return None
        reading = path.expanduser() if value.startswith("~") else self._base / path
        self.complain(key, f'"{value}" is not an absolute path; write "{reading}"')
        return None

    def _typed(self, key: str, wanted: type[T]) -> T | None:
        value = self._values.get(key)
        if value is None or isinstance(value, wanted):
            return value
        hint = f': {key} = "{value}"' if wanted is str and isinstance(value, (int, float)) else ""
        self.complain(key, f"must be {_TYPE_NAMES[wanted]}, not {_shown(value)}{hint}")
        return None


def _shown(value: object) -> str:
    kind = _TYPE_NAMES.get(type(value), type(value).__name__)
    return f"{kind} ({value!r})" if isinstance(value, (str, int, float)) else kind
