"""Checks of accounts: who owns the cluster, and whether we may act for it."""

from __future__ import annotations

import shutil

from pgrescue.doctor.subject import Subject
from pgrescue.findings import Finding
from pgrescue.postgres.account import account_by_uid, current_account


def owner(subject: Subject) -> list[Finding]:
    """The owner exists, is not root, and owns the data directory."""
    cluster, account = subject.cluster, subject.owner
    code = "privileges.owner"
    if account is None:
        name = cluster.owner or "postgres"
        message = f"There is no account '{name}' on this host."
        return [Finding(code, "blocker", message, f"adduser --system --group {name}")]
    try:
        uid = cluster.data_directory.stat().st_uid
    except OSError:
        uid = account.uid
    if account.uid == 0 or uid == 0:
        message = "The data directory belongs to root, and PostgreSQL refuses to run as root."
        name = account.name if account.uid else "postgres"
        fix = f"chown -R {name}: {cluster.data_directory}"
        return [Finding(code, "blocker", message, fix)]
    if uid != account.uid:
        actual = account_by_uid(uid).name
        message = f"The data directory belongs to {actual}, not to the owner {account.name}."
        return [Finding(code, "blocker", message, f'owner = "{actual}"')]
    return [Finding(code, "ok", f"The cluster's owner is {account.name}.")]


def rights(subject: Subject) -> list[Finding]:
    """We are root or the owner, or come to be root through sudo."""
    cluster, account = subject.cluster, subject.owner
    us = current_account()
    code = "privileges.rights"
    if us.uid == 0:
        return [Finding(code, "ok", "Running as root.")]
    if cluster.sudo:
        if shutil.which("sudo"):
            return [Finding(code, "ok", f"Running as {us.name}; sudo is used where needed.")]
        message = "The configuration asks for sudo, which is not installed."
        return [Finding(code, "blocker", message, "apt-get install sudo")]
    if account is None or us.uid != account.uid:
        message = f"Running as {us.name}, who is neither root nor the cluster's owner."
        return [Finding(code, "blocker", message, "run it as root, or set: sudo = true")]
    if cluster.service.kind == "systemd":
        message = f"Running as {us.name}, who may not stop and start {cluster.service.unit}."
        return [Finding(code, "blocker", message, "run it as root, or set: sudo = true")]
    return [Finding(code, "ok", f"Running as {us.name}, the cluster's owner.")]
