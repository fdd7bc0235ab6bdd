"""The settings that make a restored cluster recover to the target, for versions 12 to 18.

They go into one block at the end of `postgresql.auto.conf`, where they win over everything that a
backup's own configuration left behind. Manual chapters "Archive Recovery" and "Recovery Target".
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict

from pgrescue.plan.target import Target, format_for_server
from pgrescue.postgres.conf_file import parse_assignments, with_block
from pgrescue.postgres.control_file import StandbyLimits
from pgrescue.postgres.data_directory import AUTO_CONF

RECOVERY_BLOCK = "recovery"
CLONE_BLOCK = "clone"
RECOVERY_WHY = "Restore to {target}. Removed again once the recovery has ended."
CLONE_WHY = "Keeps this clone apart from the cluster it was made from."

_BUILT_IN_LIMITS = StandbyLimits(
    max_connections=100,
    max_worker_processes=8,
    max_wal_senders=10,
    max_prepared_transactions=0,
    max_locks_per_transaction=64,
)
_TARGETS = (
    "recovery_target",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
    "recovery_target_lsn",
)


def recovery_settings(
    target: Target,
    timeline: int,
    restore_command: str,
    major: int,
    limits: Mapping[str, str],
    *,
    standby: bool,
) -> dict[str, str]:
    """Every setting of the recovery, leftovers of earlier recoveries set to nothing."""
    chosen = _target_setting(target)
    # The chosen target comes last: the server takes an empty one after it for a second target.
    settings = {"restore_command": restore_command}
    settings |= {name: "" for name in _TARGETS if name not in chosen}
    settings |= chosen
    settings |= {
        "recovery_target_inclusive": "on" if target.inclusive else "off",
        "recovery_target_timeline": "latest"
        if target.timeline == "latest" and standby
        else str(timeline),
        "recovery_target_action": target.end,
        "archive_cleanup_command": "",
        "recovery_end_command": "",
        "recovery_min_apply_delay": "0",
        "hot_standby": "on",
        # What the server says of its recovery is read: in English, and all of it.
        "lc_messages": "C",
    }
    if not standby:
        settings |= {"primary_conninfo": "", "primary_slot_name": ""}
        # A standby would keep these for as long as it lives.
        settings |= {"log_error_verbosity": "default", "log_min_messages": "warning"}
    if major <= 15:
        settings["promote_trigger_file"] = ""
    return settings | dict(limits)


def _target_setting(target: Target) -> dict[str, str]:
    match target.kind:
        case "immediate":
            return {"recovery_target": "immediate"}
        case "time":
            assert target.time is not None
            return {"recovery_target_time": format_for_server(target.time)}
        case "lsn":
            return {"recovery_target_lsn": str(target.lsn)}
        case "xid":
            return {"recovery_target_xid": str(target.xid)}
        case "name":
            return {"recovery_target_name": target.name or ""}
        case "latest":
            return {}


def raised_limits(needed: StandbyLimits | None, configured: Mapping[str, str]) -> dict[str, str]:
    """Settings that must go up: recovery refuses limits below those of the backed-up server.

    Checked by `CheckRequiredParameterValues` in `src/backend/access/transam/xlogrecovery.c`.
    """
    if needed is None:
        return {}
    raised = {}
    defaults = asdict(_BUILT_IN_LIMITS)
    for name, value in asdict(needed).items():
        text = configured.get(name, "")
        current = int(text) if text.isdigit() else defaults[name]
        if value > current:
            raised[name] = str(value)
    return raised


def clone_settings(
    data_directory: str, port: int, socket_directory: str, cluster: str
) -> dict[str, str]:
    """What keeps a clone from touching production: no archiving, own port, nobody from outside."""
    return {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": socket_directory,
        "archive_mode": "off",
        "archive_command": "",
        "cluster_name": f"{cluster}_clone",
        "hba_file": f"{data_directory}/pg_hba.conf",
        "ident_file": f"{data_directory}/pg_ident.conf",
        "ssl": "off",
        "external_pid_file": "",
        "logging_collector": "off",
        "synchronous_standby_names": "",
        "max_logical_replication_workers": "0",
        # A backup of a standby has the standby's own: its slot must not be the clone's, too.
        "primary_conninfo": "",
        "primary_slot_name": "",
    }


def auto_conf_after(
    text: str, recovery: Mapping[str, str], lasting: Mapping[str, str], target: Target
) -> str:
    """`postgresql.auto.conf` as the restored cluster will have it."""
    if lasting:
        text = with_block(text, CLONE_BLOCK, lasting, CLONE_WHY)
    return with_block(text, RECOVERY_BLOCK, recovery, RECOVERY_WHY.format(target=target))


def settings_diff(before: str, after: str) -> str:
    """A unified difference of `postgresql.auto.conf`, backup's against restored."""
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        f"{AUTO_CONF} in the backup",
        f"{AUTO_CONF} restored",
        lineterm="",
    )
    return "\n".join(lines)


def leftovers(configuration: Mapping[str, str]) -> dict[str, str]:
    """Recovery settings that the backup's own configuration carries, and their values."""
    suspects = (*_TARGETS, "recovery_target_timeline", "restore_command", "primary_conninfo")
    found: dict[str, str] = {}
    for text in configuration.values():
        values = parse_assignments(text)
        found |= {name: values[name] for name in suspects if values.get(name)}
    return found
