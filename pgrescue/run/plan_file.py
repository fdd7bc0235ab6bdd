"""Plans as files: read from anywhere, kept in the state directory."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pgrescue.backup.model import BackupPlan
from pgrescue.codec import dumps, from_plain, loads
from pgrescue.config.state import private_directory, state_directory
from pgrescue.errors import UsageError
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan, check_seal
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.run.durable import write_file

_KINDS: dict[str, type[SealedPlan]] = {"backup": BackupPlan, "prune": PrunePlan}
_HOW_TO_PLAN = "make a plan: pgrescue plan --json >plan.json"


def keep_plan(plan: SealedPlan) -> None:
    """Keep a plan by its id, apart from the runs: their copies can be told from it, and mended."""
    private_directory("plans")
    write_file(kept_at(plan.id), dumps(plan, indent=2))


def kept_at(plan_id: str) -> Path:
    """Where a plan is kept by its id."""
    return state_directory() / "plans" / f"{plan_id}.json"


def load_plan(path: Path, *, by_hand: bool = False) -> SealedPlan:
    """Read a plan of any kind from a file; raises `UsageError` if it is none.

    `by_hand`: it comes from outside, and must be what this program has written to the letter:
    raises `Refused` for anything more or less.
    """
    try:
        plain = loads(path.read_bytes())
        plan = from_plain(plain, _kind_of(plain))
        if by_hand:
            check_seal(plan, exactly=plain)
        return plan
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", next_steps=(_HOW_TO_PLAN,)
        ) from error
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{path} is no plan of pgrescue.", str(error), next_steps=(_HOW_TO_PLAN,)
        ) from error


def _kind_of(plain: object) -> type[SealedPlan]:
    """The class of a plan: those of restores, which came first, do not name theirs."""
    named = plain.get("kind") if isinstance(plain, dict) else None
    return _KINDS.get(named, Plan) if isinstance(named, str) else Plan
