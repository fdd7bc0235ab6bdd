"""What a trial of a `restore_command` tells: whether recovery may trust its answers.

The server takes exit 1 to 125 for "not there", which may end recovery without a word
(`RestoreArchivedFile` in `src/backend/access/transam/xlogarchive.c`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pgrescue.findings import Finding

Answer = Literal["fetched", "not_there", "failed", "hung", "nothing", "wrong"]
"""It has the file; says that there is none; says that it failed; did not end in time; said that it
fetched the file, and there is none; gave something else under the name."""

CODE = "wal.restore_command"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call, as the server makes it."""

    name: str
    answer: Answer
    exit_code: int | None
    """None if it had to be ended."""
    seconds: float
    said: str
    """What is wrong with the file, or the last of what the command wrote."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Calls for files that must be there and for one that cannot be."""

    command: str
    account: str
    """As whom it ran: the server's account."""
    there: tuple[Attempt, ...]
    missing: Attempt | None
    """None if it was not worth asking any more."""

    @property
    def proven(self) -> str | None:
        """A file that it has fetched."""
        return next((item.name for item in self.there if item.answer == "fetched"), None)


def judge(trial: Trial, *, needed: bool) -> Iterator[Finding]:
    """What the trial found; blockers where recovery would end early, hang or not end at all.

    `needed`: whether recovery depends on the command even for the files that were asked for.
    """
    if not trial.there:
        yield Finding(
            CODE,
            "warning",
            "restore_command could not be tried for a file that is there: nothing that is known "
            "has been archived yet.",
            "see that the archive gets the cluster's WAL: pgrescue doctor",
        )
    yield from _broken(trial)
    absent = [item for item in trial.there if item.answer == "not_there"]
    if absent:
        yield _says_not_there(trial, absent, needed=needed)
    if trial.missing is not None:
        yield from _for_what_is_missing(trial, trial.missing)
    asked = [*trial.there, *([trial.missing] if trial.missing else [])]
    if trial.proven and not absent and all(_is_right(trial, item) for item in asked):
        names = " and ".join(item.name for item in trial.there)
        slowest = max(item.seconds for item in asked)
        yield Finding(
            CODE,
            "ok",
            f"restore_command was tried as {trial.account}: it has fetched {names} and says of a "
            f"file that cannot be there that there is none; {max(slowest, 0.1):.1f} seconds at "
            "most.",
        )


def _is_right(trial: Trial, item: Attempt) -> bool:
    return item.answer == ("not_there" if item is trial.missing else "fetched")


def _broken(trial: Trial) -> Iterator[Finding]:
    for item in trial.there:
        match item.answer:
            case "hung":
                yield _hung(trial, item)
            case "failed":
                yield Finding(
                    CODE,
                    "blocker",
                    f"restore_command failed for {item.name} with exit code {item.exit_code}, run "
                    f"as {trial.account}: {item.said or 'it said nothing'}.",
                    _by_hand(trial, item),
                )
            case "nothing":
                yield _for_nothing(trial, item)
            case "wrong":
                yield Finding(
                    CODE,
                    "blocker",
                    f"restore_command said that it fetched {item.name}, but what it left "
                    f"{item.said}.",
                    _by_hand(trial, item),
                )
            case _:
                pass


def _says_not_there(trial: Trial, absent: list[Attempt], *, needed: bool) -> Finding:
    names, item = " and ".join(one.name for one in absent), absent[0]
    said = f" It wrote: {item.said}." if item.said else ""
    if len(absent) == len(trial.there):
        message = (
            f"restore_command says that {names} is not there (exit code {item.exit_code}), and it "
            "was archived. A command that answers so when it cannot look, such as without its "
            f"network, would end recovery early and in silence.{said}"
        )
        return Finding(CODE, "blocker" if needed else "warning", message, _by_hand(trial, item))
    return Finding(
        CODE,
        "blocker" if needed and item is trial.there[0] else "warning",
        f"restore_command says that {names} is not there, though it was archived; it has fetched "
        f"{trial.proven or 'nothing'}. Recovery ends at the first file that it does not get."
        f"{said}",
        _by_hand(trial, item),
    )


def _for_what_is_missing(trial: Trial, item: Attempt) -> Iterator[Finding]:
    match item.answer:
        case "hung":
            yield _hung(trial, item)
        case "failed":
            yield Finding(
                CODE,
                "blocker",
                f"restore_command gives exit code {item.exit_code} for a file that is not there "
                "and cannot be, which the server takes for a failure: recovery would stop with "
                f"an error at the end of the WAL. {item.said}".strip(),
                "exit 1 for what is not there, and more than 125 only for failures",
            )
        case "nothing":
            yield _for_nothing(trial, item)
        case "fetched" | "wrong":
            yield Finding(
                CODE,
                "blocker",
                f"restore_command says that it fetched {item.name}, a file that cannot be there.",
                _by_hand(trial, item),
            )
        case "not_there":
            pass


def _for_nothing(trial: Trial, item: Attempt) -> Finding:
    return Finding(
        CODE,
        "blocker",
        f"restore_command says that it fetched {item.name} (exit code 0), and there is no file. "
        f"Its success cannot be relied on. {item.said}".strip(),
        _by_hand(trial, item),
    )


def _hung(trial: Trial, item: Attempt) -> Finding:
    return Finding(
        CODE,
        "blocker",
        f"restore_command did not end within {item.seconds:.0f} seconds when it was asked for "
        f"{item.name}, and was ended. Recovery would wait for it for ever. {item.said}".strip(),
        _by_hand(trial, item),
    )


def _by_hand(trial: Trial, item: Attempt) -> str:
    return f"run it by hand as {trial.account}, with %f = {item.name}, and see what it says"
