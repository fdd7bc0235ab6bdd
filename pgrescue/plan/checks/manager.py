"""Whether a high-availability manager lets the server go, and how it is made to."""

from __future__ import annotations

import re
import shlex

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker
from pgrescue.plan.facts import Manager, ManagerName
from pgrescue.postgres.service import ServiceSpec

_CODE = "cluster.manager"
UNITS: dict[str, ManagerName] = {
    "patroni": "Patroni",
    "repmgr": "repmgrd",
    "repmgrd": "repmgrd",
    "pgautofailover": "pg_auto_failover",
    "pg_auto_failover": "pg_auto_failover",
    "stolon-keeper": "Stolon",
    "pacemaker": "Pacemaker",
}
"""How the names of managers' systemd units begin."""
_OF_A_MANAGER = re.compile(rf"({'|'.join(map(re.escape, UNITS))})\b")


def lets_go(context: Context) -> list[Finding]:
    """No manager would start the server again, or fail over, behind our back."""
    found = context.facts.cluster.manager
    if found is None or not context.in_place:
        return []
    return [finding_about(found)]


def is_no_service(context: Context) -> list[Finding]:
    """The service that stops and starts the server is not its manager."""
    if not context.in_place:
        return []
    return service_findings(context.work.service)


def service_findings(service: ServiceSpec) -> list[Finding]:
    """A manager's unit starts a manager, which takes a recovery for a defect and ends it."""
    if service.kind != "systemd" or not _OF_A_MANAGER.match(service.unit or ""):
        return []
    return blocker(
        _CODE,
        f"The configured unit {service.unit} is that of a cluster manager. It would not start the "
        "restored server for its recovery, but decide by itself what becomes of it.",
        'service = { kind = "pg_ctl" } in the configuration; start the unit again once the '
        "restored server is open",
    )


def finding_about(manager: Manager) -> Finding:
    """What a manager means to a restore or re-seed in place."""
    name, evidence = manager.name, manager.evidence
    if manager.state == "in charge":
        return Finding(
            _CODE,
            "blocker",
            f"{name} is in charge of this cluster ({evidence}): it would start the server again, "
            "fill it, or fail over. Nothing is stopped behind its back.",
            f"{how_to_pause(manager)}; then plan again",
        )
    if manager.state == "paused":
        return Finding(
            _CODE,
            "warning",
            f"{name} is paused ({evidence}). Leave it so until the restored server is open. "
            "Standbys do not follow a restored server; they have to be filled anew.",
            f"afterwards: {how_to_resume(manager)}",
        )
    if manager.state == "perhaps":
        return Finding(
            _CODE,
            "warning",
            f"This is a pod of {name} ({evidence}). If an operator or a probe looks after the "
            "server, it starts it again, or ends the pod, while it is restored.",
            f"{how_to_pause(manager)}",
        )
    return Finding(
        _CODE,
        "warning",
        f"{evidence} tells that {name} has managed this cluster. It does not run now. Before it is "
        "started again, what it knows of the cluster must fit the restored server: timeline, "
        "leader, standbys.",
        f"keep {name} stopped until the restored server is open",
    )


def how_to_pause(manager: Manager) -> str:
    """The commands that make it leave the server alone, the gentlest first."""
    stop = f"stop {_unit_or_process(manager)}"
    match manager.name:
        case "Patroni":
            return f"{_patronictl(manager, 'pause')}, or {stop} on all of its members"
        case "repmgrd":
            given = f"-f {shlex.quote(manager.configuration)} " if manager.configuration else ""
            return f"repmgr {given}service pause while the server runs, or {stop} on all nodes"
        case "pg_auto_failover":
            where = shlex.quote(manager.subject or "DATA_DIRECTORY")
            return f"pg_autoctl enable maintenance --pgdata {where}, then {stop}"
        case "Stolon":
            return f"{stop} on all nodes: Stolon cannot be paused"
        case "CloudNativePG":
            return (
                "it cannot be paused from here: restore into a new Cluster (bootstrap.recovery), "
                "or hibernate it (kubectl annotate cluster NAME cnpg.io/hibernation=on) and "
                "restore in a pod of its own that has the volume"
            )
        case "Kubernetes":
            return (
                "if one does: scale the workload down, and restore in a pod of its own that has "
                "the volume"
            )
        case "Pacemaker":
            name = shlex.quote(manager.subject or "RESOURCE")
            return f"pcs resource unmanage {name} (or: crm resource unmanage {name})"


def how_to_resume(manager: Manager) -> str:
    """The command that puts a paused one in charge again."""
    match manager.name:
        case "Patroni":
            return _patronictl(manager, "resume")
        case "repmgrd":
            given = f"-f {shlex.quote(manager.configuration)} " if manager.configuration else ""
            return f"repmgr {given}service unpause"
        case "Pacemaker":
            name = shlex.quote(manager.subject or "RESOURCE")
            return f"pcs resource manage {name} (or: crm resource manage {name})"
        case _:
            return f"start {_unit_or_process(manager)} again"


def _patronictl(manager: Manager, verb: str) -> str:
    words = ["patronictl"]
    if manager.configuration is not None:
        words += ["-c", manager.configuration]
    words += [verb, "--wait"]
    words += [manager.subject] if manager.subject is not None else []
    return shlex.join(words)


def _unit_or_process(manager: Manager) -> str:
    return manager.name if manager.unit is None else f"it (systemctl stop {manager.unit})"
