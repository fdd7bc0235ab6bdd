"""What the target screen's fields mean: from what was typed to a checked request."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pgrescue.errors import UsageError
from pgrescue.plan.moment import describe_moment
from pgrescue.plan.request import RestoreRequest
from pgrescue.plan.target import Target, TargetOptions, parse_target

KINDS = ("latest", "immediate", "time", "LSN", "xid", "before xid", "name")
ACTIONS = ("pause", "promote", "shutdown")
WITHOUT_VALUE = ("latest", "immediate")
WITH_SIDE = ("time", "LSN", "xid")

_KIND_OF_OPTION = {
    "--to-lsn": "LSN",
    "--to-xid": "xid",
    "--before-xid": "before xid",
    "--to-name": "name",
}

KIND_HELP = {
    "latest": "Replay all WAL there is. Nothing that was archived is lost; neither is the mistake.",
    "immediate": "Stop as soon as the backup is consistent: the state at the backup's own end.",
    "time": "Stop at a commit time: 2026-11-22 14:02:10+01:00, or with a zone's name, or without "
    "(your own zone).",
    "LSN": "Stop at a position in the WAL, such as 0/3000028.",
    "xid": "Stop at the commit of this transaction.",
    "before xid": "Stop just before the commit of this transaction: it did not happen.",
    "name": "Stop at a restore point made with pg_create_restore_point().",
}
FIELD_HELP = {
    "kind": "Where recovery stops. Left and right choose.",
    "side": "Whether the target itself still happens (recovery_target_inclusive).",
    "action": "pause: open read-only, look around, then promote, or undo. promote: open for "
    "writing at once. shutdown: stop the server there.",
    "timeline": "Empty: the one the plan finds for this cluster. Or a number, latest, or current.",
    "where": "in place: the old data is set aside, not deleted. clone: into another directory, "
    "on another port, cut off from production.",
    "into": "An absolute path; the directory must be empty or not exist.",
    "port": "Empty: the first free one above 5432.",
    "old": "keep: set aside, and undo puts it back. delete: gone at the end, no way back.",
    "result": "primary: opens for writing at the end. standby: goes on following.",
    "tablespace": "Where this tablespace is restored to. Empty: its original place (not in a "
    "clone).",
    "plan": "A dry run: everything is checked and shown, nothing is changed.",
}


@dataclass(frozen=True, slots=True)
class Form:
    """The fields as they stand."""

    backup: str
    kind: str = "latest"
    value: str = ""
    side: str = "include"
    action: str = "pause"
    timeline: str = ""
    where: str = "in place"
    into: str = ""
    port: str = ""
    old: str = "keep"
    result: str = "primary"
    tablespaces: tuple[tuple[str, str], ...] = ()

    @property
    def is_clone(self) -> bool:
        """Whether the cluster itself is left alone."""
        return self.where == "clone"


def form_from_arguments(arguments: Sequence[str], form: Form | None = None) -> Form:
    """The form that these options of the command line fill in; raises `UsageError`.

    What they say nothing about stays as it is in `form`.
    """
    if form is None:
        form = Form(backup="auto")
    # A target is whole: no value, side or timeline of an earlier one may be left beside it.
    form = replace(form, kind="latest", value="", side="include", timeline="")
    waiting = list(arguments)
    while waiting:
        option, _, value = waiting.pop(0).partition("=")
        if option == "--exclusive":
            form = replace(form, side="exclude")
            continue
        if not value and waiting:
            value = waiting.pop(0)
        form = _with_option(form, option, value)
    return form


def _with_option(form: Form, option: str, value: str) -> Form:
    if option in _KIND_OF_OPTION:
        return replace(form, kind=_KIND_OF_OPTION[option], value=value)
    match option:
        case "--to":
            return (
                replace(form, kind=value, value="")
                if value in WITHOUT_VALUE
                else replace(form, kind="time", value=value)
            )
        case "--timeline":
            return replace(form, timeline=value)
        case "--backup":
            return replace(form, backup=value)
        case "--action" if value in ACTIONS:
            return replace(form, action=value)
    raise UsageError(f"The form has no field for {option}.", f"Its value is '{value}'.")


def target_options(form: Form) -> TargetOptions:
    """The same as options of the command line."""
    value, kind = form.value.strip(), form.kind
    return TargetOptions(
        to=kind if kind in WITHOUT_VALUE else value if kind == "time" else None,
        to_lsn=value if kind == "LSN" else None,
        to_xid=value if kind == "xid" else None,
        before_xid=value if kind == "before xid" else None,
        to_name=value if kind == "name" else None,
        exclusive=kind in WITH_SIDE and form.side == "exclude",
        action=None if kind == "latest" else form.action,
        timeline=form.timeline.strip() or None,
    )


def read_target(form: Form, zone: str | None) -> Target:
    """The target; raises `UsageError` with what is wrong in words."""
    if form.kind not in WITHOUT_VALUE and not form.value.strip():
        raise UsageError(f"Type the {form.kind.removeprefix('before ')}.", KIND_HELP[form.kind])
    return parse_target(target_options(form), zone)


def read_request(form: Form, zone: str | None) -> RestoreRequest:
    """The whole request; raises `UsageError`."""
    target = read_target(form, zone)
    into = form.into.strip()
    if form.is_clone and not into.startswith("/"):
        raise UsageError("A clone needs a directory.", "Type an absolute path under 'Into'.")
    return RestoreRequest(
        target=target,
        backup=form.backup,
        into=into if form.is_clone else None,
        port=_port(form.port.strip()) if form.is_clone else None,
        tablespaces={old: new.strip() for old, new in form.tablespaces if new.strip()},
        old_data="delete" if form.old == "delete" and not form.is_clone else "keep",
        standby=form.result == "standby",
    )


def echo(target: Target, now: datetime, zone: str | None) -> str:
    """The target as it was understood; a time in UTC, in the operator's zone, and how long ago."""
    if target.time is not None:
        return f"= {describe_moment(target.time, now, zone)}"
    return f"= {target}"


def command_line(form: Form, cluster: str) -> str:
    """The command that makes the same plan."""
    options = target_options(form)
    given = {
        "--backup": None if form.backup == "auto" else form.backup,
        "--to": options.to,
        "--to-lsn": options.to_lsn,
        "--to-xid": options.to_xid,
        "--before-xid": options.before_xid,
        "--to-name": options.to_name,
        "--action": options.action,
        "--timeline": options.timeline,
        "--into": form.into.strip() if form.is_clone else None,
        "--port": (form.port.strip() or None) if form.is_clone else None,
        "--old-data": "delete" if form.old == "delete" and not form.is_clone else None,
    }
    words = ["pgrescue", "--cluster", cluster, "plan"]
    for name, value in given.items():
        if value is not None:
            words += [name, value]
    words += ["--exclusive"] if options.exclusive else []
    words += ["--standby"] if form.result == "standby" else []
    for old, new in form.tablespaces:
        words += ["--tablespace", f"{old}={new.strip()}"] if new.strip() else []
    return shlex.join(words)


def _port(text: str) -> int | None:
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise UsageError(f"'{text}' is no port.", "Ports are 1 to 65535.")
    return int(text)
