"""A known failure: the messages that tell of it, and the words that explain it."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath

from pgrescue.explain.host import Host
from pgrescue.explain.message import Explanation, Message, ServerStart, Weight

Facts = Mapping[str, str]
"""What a message named: the groups of its pattern, the server's places, what came before it."""
Ask = Callable[[Facts, Host], Iterable[str]]
"""A question to this machine; each answer is a sentence of evidence."""

RECOVERY_UNCHANGED = (
    "Recovery writes to its own data directory and tablespaces only; the backup and the archive "
    "are as they were."
)
OPENED_UNCHANGED = (
    "The backup is as it was. But the server has opened for writing: with an archive_command that "
    "it inherited, it may have archived WAL of its own into the archive that it came from."
)
STOP_FIRST = (
    "stop it, and look into the archive for files newer than its start: find {archive!q} -newer "
    "{data!q}/postmaster.opts"
)
GOES_ON = ": recovery goes on where it was"
"""How the step ends that starts a server again; of one that runs nothing is to be started."""
EXAMINED = 2000
"""Characters of a message that are looked at: no wording is longer, and patterns that look for
names take the square of a line's length."""
_QUOTED = 10
"""Different texts of one failure that are quoted: each may name another setting, file or page."""
START_UNCHANGED = "The server gave up before it wrote to any of its data."
BACKUP_UNCHANGED = "The server that was backed up, and every earlier backup, are as they were."


@dataclass(frozen=True)
class Rule:
    """One row of the catalogue.

    Title, cause and steps are templates: `{name}` is a fact, `{name!q}` the same, quoted for a
    shell. A fact that is not known stands there in capitals, for a person to fill in. `full_path`
    is the `path` that the server named, as seen from anywhere.
    """

    code: str
    patterns: Sequence[str]
    """Regular expressions for a message's text, each with the wording of some versions."""
    title: str
    cause: str
    next: Sequence[str]
    detail: str = ""
    """For the DETAIL, to find further facts in; it need not be there."""
    only_with_detail: Sequence[str] = ()
    """Patterns like the others, for texts that mean this failure only with such a DETAIL."""
    weight: Weight = "failure"
    unchanged: str = RECOVERY_UNCHANGED
    evidence: Sequence[Ask] = ()
    levels: Sequence[str] = ()
    """Where the same text is harmless at other levels."""
    only_with_failure: bool = False
    """Harmless by itself: told only where a process of the same start died or the end was odd."""
    holds: Callable[[ServerStart, Sequence[Message]], bool] | None = None
    """Whether messages of the same text mean it, by the course of their start; if not, nothing is
    told of them."""
    beside_server: bool = False
    """Output that means it only beside a server's messages; elsewhere it means something else."""
    wrong_end: bool = False
    """Recovery ended where it should not: if the server opened for writing, it is stopped first."""
    uncertain: bool = False
    """Such an end may have been wanted: whether the server is stopped is for a person to decide."""
    _compiled: list[re.Pattern[str]] = field(default_factory=list, repr=False, compare=False)

    def facts_of(self, message: Message) -> dict[str, str] | None:
        """What the message names, or None if it tells of something else."""
        if self.levels and message.level not in self.levels:
            return None
        if not self._compiled:
            patterns = (*self.patterns, *self.only_with_detail)
            self._compiled.extend(re.compile(pattern) for pattern in patterns)
        # A server's own words begin its message; further on there may be a user's.
        whole = message.level in ("TOOL", "OUTPUT")
        text = message.text[:EXAMINED]
        detail = re.search(self.detail, message.detail[:EXAMINED]) if self.detail else None
        for number, pattern in enumerate(self._compiled):
            if number >= len(self.patterns) and detail is None:
                break
            match = pattern.search(text) if whole else pattern.match(text)
            if match is not None:
                named = match.groupdict()
                named |= detail.groupdict() if detail else {}
                return {name: value for name, value in named.items() if value is not None}
        return None

    def explain(
        self, messages: Sequence[Message], facts: Facts, host: Host, start: ServerStart | None
    ) -> Explanation:
        """The explanation of these messages, which all tell the same."""
        known = {**facts, **host.places}
        known |= {name: value for name, value in facts.items() if value}
        data = known.get("data", _PLACEHOLDERS["data"])
        known["full_path"] = str(PurePosixPath(data, known.get("path", "")))
        opened = self.wrong_end and start is not None and start.opened
        steps = [STOP_FIRST, *self.next] if opened and not self.uncertain else [*self.next]
        if start is not None and start.runs_after(messages[-1]):
            steps = [step for step in steps if not step.endswith(GOES_ON)]
        return Explanation(
            code=self.code,
            title=fill(self.title, known),
            cause=fill(self.cause, known),
            evidence="\n".join([*quote_all(messages), *self._answers(facts, host)]),
            unchanged=OPENED_UNCHANGED if opened else self.unchanged,
            next=tuple(fill(step, known) for step in steps),
            weight=self.weight,
            line=messages[0].number,
            start=start.number if start else None,
        )

    def _answers(self, facts: Facts, host: Host) -> list[str]:
        return [f"here: {answer}" for ask in self.evidence for answer in ask(facts, host)]


def quote_all(messages: Sequence[Message]) -> list[str]:
    """The messages as they stand, each text once, and how often their like came again."""
    first: dict[str, Message] = {}
    for message in messages:
        first.setdefault(message.text, message)
    lines = [message.quoted() for message in islice(first.values(), _QUOTED)]
    if len(messages) > len(lines):
        lines.append(f"{len(messages)} times, at last in line {messages[-1].number}")
    return lines


class _Words(string.Formatter):
    def get_value(self, key: object, args: object, kwargs: Mapping[str, object]) -> object:
        name = str(key)
        value = kwargs.get(name)
        return _Unknown(_PLACEHOLDERS.get(name, name.upper())) if value is None else value

    def convert_field(self, value: object, conversion: str | None) -> object:
        if conversion == "q":
            return str(value) if isinstance(value, _Unknown) else shlex.quote(str(value))
        return super().convert_field(value, conversion)


_PLACEHOLDERS = {
    "data": "DATA_DIRECTORY",
    "bin": "BIN_DIRECTORY",
    "account": "postgres",
    "again": "start the server again",
}


class _Unknown(str):
    """A name in capitals, in place of what is not known; nothing to quote."""

    __slots__ = ()


def fill(template: str, facts: Facts) -> str:
    """A template with its facts."""
    return _Words().vformat(template, (), facts)
