"""The machine: disks, memory, ports, other servers.

Texts: `src/backend/port/sysv_shmem.c`, `src/backend/libpq/pqcomm.c`,
`src/backend/utils/init/miscinit.c`, `src/backend/storage/file/fd.c`.
"""

from __future__ import annotations

from pgrescue.explain.evidence import place, process, setting, space
from pgrescue.explain.rule import START_UNCHANGED, Rule

MACHINE = (
    Rule(
        code="disk_full",
        patterns=(
            r'(?:could not .*)?"(?P<path>[^"]+)".*: '
            r"(?:No space left on device|Disk quota exceeded)",
            r"'(?P<path>[^']+)'.*: (?:No space left on device|Disk quota exceeded)",
            r"(?P<path>\S+): (?:Cannot write|write failed).*No space left on device",
            r"No space left on device|Disk quota exceeded",
        ),
        title="There is no room left on the disk.",
        cause="It was needed for {path}.",
        evidence=(space("path"),),
        levels=("LOG", "WARNING", "ERROR", "FATAL", "PANIC", "OUTPUT"),
        next=(
            "df -h {data!q}; df -i {data!q}",
            "make room elsewhere on that file system; nothing in the data directory may be "
            "deleted by hand",
            "{again}: recovery goes on where it was",
        ),
    ),
    Rule(
        code="device_failed",
        patterns=(
            r'(?:could not .*)?"(?P<path>[^"]+)".*: '
            r"(?:Input/output error|Read-only file system|Stale file handle)",
        ),
        title="The operating system cannot read or write {path}.",
        cause="The disk, its controller or the mount has failed.",
        evidence=(place("path"),),
        levels=("LOG", "WARNING", "ERROR", "FATAL", "PANIC", "TOOL"),
        next=("dmesg | tail", "restore to another disk: pgrescue plan --into DIR"),
    ),
    Rule(
        code="memory",
        patterns=(
            r"could not (?:map anonymous|create) shared memory(?: segment)?: (?P<why>.*)",
            r"could not map dynamic shared memory segment",
            r"out of memory",
        ),
        title="This machine has not enough memory for the configured server.",
        cause="shared_buffers, huge_pages or max_connections come from a bigger machine.",
        evidence=(setting("shared_buffers"), setting("huge_pages"), setting("max_connections")),
        unchanged=START_UNCHANGED,
        levels=("FATAL",),
        next=(
            "set in {data!q}/postgresql.auto.conf: shared_buffers = '128MB', huge_pages = 'try'",
            "{again}",
        ),
    ),
    Rule(
        code="port_in_use",
        patterns=(
            r'lock file "(?P<path>[^"]*\.s\.PGSQL\.(?P<port>\d+)\.lock)" already exists',
            r'could not bind .*address "(?P<address>[^"]*)": Address already in use',
            r"could not create any (?:TCP/IP sockets|Unix-domain sockets)",
        ),
        title="Another server is using this port.",
        cause="It is probably the original, still running, or a clone started before.",
        evidence=(setting("port"), setting("unix_socket_directories")),
        unchanged=START_UNCHANGED,
        levels=("FATAL", "LOG", "WARNING"),
        next=(
            "see who: ss -ltnp; ss -lxp | grep PGSQL",
            "for a clone choose another port: pgrescue plan --into DIR --port N",
        ),
    ),
    Rule(
        code="pid_file",
        patterns=(
            r'lock file "postmaster.pid" already exists',
            r'bogus data in lock file "(?P<path>[^"]*postmaster.pid)"',
            r'lock file "(?P<path>[^"]*postmaster.pid)" is empty',
            r"(?:pg_ctl: )?another server might be running",
        ),
        title="postmaster.pid says that a server is running on this directory.",
        cause="Either one is, or the file came with a copy of a running cluster and its number "
        "now belongs to another process.",
        evidence=(process, place("path")),
        unchanged=START_UNCHANGED,
        next=(
            "see what the process is: ps -fp {pid}",
            "if it is a server on this directory: leave it, or stop it by its service",
            "only if it is something else, and no server works in the directory: move the file "
            "away, mv {data!q}/postmaster.pid {data!q}/postmaster.pid.old",
        ),
    ),
    Rule(
        code="orphans",
        patterns=(
            r"pre-existing shared memory block \(key (?P<key>\d+), ID (?P<id>\d+)\) is still in "
            r"use",
        ),
        title="Processes of a crashed server still hold its memory.",
        cause="The postmaster is gone, but some of its backends are not.",
        unchanged=START_UNCHANGED,
        next=(
            "see them: ps -ef | grep '[p]ostgres:'",
            "end those that work in this directory (kill, never kill -9), then {again}",
        ),
    ),
    Rule(
        code="killed",
        patterns=(
            r"(?:server|startup|checkpointer|background writer|walwriter) process \(PID "
            r"(?P<pid>\d+)\)"
            r"(?:.*)was terminated by signal 9",
        ),
        title="A process of the server was killed by signal 9.",
        cause="By hand, or by the kernel because memory ran out.",
        evidence=(setting("shared_buffers"), setting("work_mem")),
        next=(
            "dmesg | grep -i 'out of memory'",
            "{again}: recovery goes on where it was",
        ),
    ),
)
