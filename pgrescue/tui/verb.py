"""Something that can be done with a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VerbId = Literal["report", "log", "resume", "undo", "discard", "abort"]


@dataclass(frozen=True, slots=True)
class Verb:
    """One entry of a run's menu; `asks` is what is confirmed before."""

    id: VerbId
    label: str
    about: str
    asks: tuple[str, ...] = ()
    typed: str | None = None
