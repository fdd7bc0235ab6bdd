"""The machine: disks, memory, ports, other servers.

Texts: `src/backend/port/sysv_shmem.c`, `src/backend/libpq/pqcomm.c`,
`src/backend/utils/init/miscinit.c`, `src/backend/storage/file/fd.c`.
"""

from __future__ import annotations

from pgrescue.explain.course import kept_it_down, not_started_anyway
from pgrescue.explain.evidence import place, process, setting, space, space_for_wal
from pgrescue.explain.rule import GOES_ON, START_UNCHANGED, Rule

_MAKE_ROOM = (
    "make room elsewhere on that file system; nothing in the data directory may be deleted by hand"
)

MACHINE = (
    Rule(
        code="shared_memory_full",
        patterns=(
            r'could not \w+ shared memory segment "(?P<segment>[^"]+)".*: No space left on device',
        ),
        title="There is no room left in /dev/shm.",
        cause="What parallel processes share lies there and not on the data's disk; a container "
        "gives it 64 MB unless it is told otherwise.",
        next=(
            "df -h /dev/shm",
            "of a container: start it with --shm-size=1g",
            "or for now: max_parallel_workers_per_gather = 0",
        ),
    ),
    Rule(
        code="disk_of_wal_full",
        patterns=(
            r"could not write to (?:log|WAL) (?:file|segment) (?P<file>[0-9A-F]{24}) at offset .*: "
            r"(?:No space left on device|Disk quota exceeded)",
        ),
        title="There is no room left on the disk of pg_wal.",
        cause="It was needed for the segment {file}.",
        evidence=(space_for_wal,),
        next=("df -h {data!q}/pg_wal/; df -i {data!q}/pg_wal/", _MAKE_ROOM, "{again}" + GOES_ON),
    ),
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
            _MAKE_ROOM,
            "{again}" + GOES_ON,
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
        ),
        title="Another server is using this port.",
        cause="It is probably the original, still running, or a clone started before.",
        evidence=(setting("port"), setting("unix_socket_directories")),
        unchanged=START_UNCHANGED,
        levels=("FATAL", "LOG", "WARNING"),
        holds=kept_it_down,
        next=(
            "see who: ss -ltnp; ss -lxp | grep PGSQL",
            "for a clone choose another port: pgrescue plan --into DIR --port N",
        ),
    ),
    Rule(
        code="address_not_here",
        patterns=(
            r'could not bind .*address "(?P<address>[^"]*)": Cannot assign requested address',
            r'could not translate host name "(?P<address>[^"]*)", service ',
            r'could not create lock file "(?P<address>[^"]*)/\.s\.PGSQL\.\d+\.lock": '
            r"(?:No such file or directory|Permission denied)",
        ),
        title="The server cannot listen at {address}: it is not there on this machine, or closed.",
        cause="The setting comes from another machine, or the directory for the socket is missing "
        "or closed here.",
        evidence=(setting("listen_addresses"), setting("unix_socket_directories")),
        unchanged=START_UNCHANGED,
        levels=("FATAL", "LOG", "WARNING"),
        holds=kept_it_down,
        next=(
            "correct listen_addresses or unix_socket_directories, such as listen_addresses = "
            "'localhost'",
            "if it is a directory: let the server's account write there: ls -ld {address!q}",
            "{again}",
        ),
    ),
    Rule(
        code="listens_nowhere",
        patterns=(r"could not create any (?:TCP/IP|Unix-domain) sockets",),
        title="The server can listen nowhere.",
        cause="The messages before it say why, for each address.",
        evidence=(setting("listen_addresses"), setting("unix_socket_directories")),
        unchanged=START_UNCHANGED,
        weight="consequence",
        levels=("FATAL",),
        next=("{again} once that is mended",),
    ),
    Rule(
        code="pid_file",
        patterns=(
            r'lock file "postmaster.pid" already exists',
            r'bogus data in lock file "(?P<path>[^"]*postmaster.pid)"',
            r'lock file "(?P<path>[^"]*postmaster.pid)" is empty',
            r"(?:pg_ctl: )?another server might be running",
        ),
        detail=r"^PID (?P<pid>\d+)$",
        title="postmaster.pid says that a server is running on this directory.",
        cause="Either one is, or the file came with a copy of a running cluster and its number "
        "now belongs to another process.",
        evidence=(process, place("path")),
        unchanged=START_UNCHANGED,
        holds=not_started_anyway,
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
        patterns=(r"(?P<what>.+) \(PID (?P<pid>\d+)\) was terminated by signal 9\b",),
        title="A process of the server was killed by signal 9: {what}.",
        cause="By hand, or by the kernel because memory ran out.",
        evidence=(setting("shared_buffers"), setting("work_mem")),
        levels=("LOG",),
        next=(
            "dmesg | grep -i 'out of memory'",
            "{again}" + GOES_ON,
        ),
    ),
    Rule(
        code="crashed",
        patterns=(
            r"(?P<what>.+) \(PID (?P<pid>\d+)\) was terminated by signal (?P<signal>4|7|8|10|11)\b",
        ),
        title="A process of the server crashed by signal {signal}: {what}.",
        cause="Signal 11 is a defect of the server or of an extension, or of the memory; signal 7 "
        "a file or huge page that went away under it: a disk or memory that fails.",
        evidence=(setting("shared_preload_libraries"),),
        levels=("LOG",),
        next=(
            "dmesg | tail -50",
            "install the newest minor release of the server and of its extensions",
            "without the extensions, if it comes again: shared_preload_libraries = ''",
        ),
    ),
    Rule(
        code="aborted",
        patterns=(r"(?P<what>.+) \(PID (?P<pid>\d+)\) was terminated by signal 6\b",),
        title="A process of the server gave up by itself (signal 6): {what}.",
        cause="The PANIC before it says why; without one a library has aborted it.",
        weight="consequence",
        levels=("LOG",),
        next=("look at what stands before it in the log",),
    ),
)
