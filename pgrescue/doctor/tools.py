"""Checks of programs: the server's own, and decompressors for archived WAL."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pgrescue.compression import SHELL_DECOMPRESSORS, split_ending
from pgrescue.config.binaries import program_version
from pgrescue.doctor.subject import Subject
from pgrescue.findings import Finding
from pgrescue.postgres.account import can_access

_PACKAGES = {"gzip": "gzip", "lz4": "lz4", "zstd": "zstd", "xz": "xz-utils"}


def server_programs(subject: Subject) -> list[Finding]:
    """`postgres` and its tools are there, in the cluster's version, for its owner to run."""
    directory = subject.bin_directory
    major = subject.major
    if directory is None:
        what = "PostgreSQL" if major is None else f"PostgreSQL {major}"
        fix = 'bin_directory = "DIRECTORY WITH postgres AND pg_ctl"'
        message = f"The programs of {what} were not found."
        return [Finding("tools.postgres", "blocker", message, _install(major, fix))]
    found = [_program(subject, directory, "postgres"), _program(subject, directory, "pg_ctl")]
    found += [_lesser_tool(directory, name, major, use) for name, use in _lesser_tools(major)]
    return found


def decompressors(subject: Subject) -> list[Finding]:
    """What compressed the archive's WAL can be undone while the server recovers."""
    if subject.archive is None:
        return []
    endings = {split_ending(file.path.name)[1] for file in subject.archive.segments.values()}
    found = []
    for ending in sorted(endings & SHELL_DECOMPRESSORS.keys()):
        tool = SHELL_DECOMPRESSORS[ending].split()[0]
        path = shutil.which(tool)
        code = f"tools.{tool}"
        if path is not None:
            found.append(Finding(code, "ok", f"{path} unpacks the archive's {ending} segments."))
        else:
            message = f"The archive holds {ending} segments, and {tool} is not installed."
            found.append(Finding(code, "blocker", message, _install_package(_PACKAGES[tool], tool)))
    return found


def _program(subject: Subject, directory: Path, name: str) -> Finding:
    path, code, major = directory / name, f"tools.{name}", subject.major
    version = program_version(path)
    if version is None:
        state = "cannot be run" if os.path.exists(path) else "does not exist"
        return Finding(code, "blocker", f"{path} {state}.", _install(major, f"ls -l {path}"))
    if major is not None and version.split(".")[0] != str(major):
        message = f"{path} is version {version}; the cluster is PostgreSQL {major}."
        return Finding(code, "blocker", message, _install(major, "set bin_directory"))
    if subject.owner is not None and can_access(subject.owner, path) is False:
        message = f"{path} cannot be run by {subject.owner.name}, the cluster's owner."
        return Finding(code, "blocker", message, f"namei -l {path}")
    return Finding(code, "ok", f"{path} is version {version}.")


def _lesser_tools(major: int | None) -> list[tuple[str, str]]:
    """Tools without which most recoveries work, with what lacks then."""
    tools = [("pg_basebackup", "no new backup can be taken")]
    if major is None or major >= 13:
        tools.append(("pg_verifybackup", "PostgreSQL's own check of a backup cannot be run"))
    if major is not None and major >= 17:
        tools.append(("pg_combinebackup", "incremental backups cannot be restored"))
    return tools


def _lesser_tool(directory: Path, name: str, major: int | None, use: str) -> Finding:
    path, code = directory / name, f"tools.{name}"
    version = program_version(path)
    if version is not None:
        return Finding(code, "ok", f"{path} is version {version}.")
    return Finding(
        code, "warning", f"{path} is missing or cannot be run: {use}.", _install(major, "")
    )


def _install(major: int | None, otherwise: str) -> str:
    if major is None:
        return otherwise or "install PostgreSQL's server and client packages"
    if shutil.which("apt-get"):
        return f"apt-get install postgresql-{major} postgresql-client-{major}"
    return f"dnf install postgresql{major}-server postgresql{major}"


def _install_package(debian_name: str, other_name: str) -> str:
    if shutil.which("apt-get"):
        return f"apt-get install {debian_name}"
    return f"dnf install {other_name}"
