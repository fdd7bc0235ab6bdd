"""The exact commands that do by hand what each step does; `plan --format shell` strings them up."""

from __future__ import annotations

from pathlib import PurePath
from shlex import quote

from pgrescue.compression import SHELL_DECOMPRESSORS, split_ending
from pgrescue.plan.fetch_wal import NAME as FETCH_WAL
from pgrescue.plan.fetch_wal import fault_function
from pgrescue.plan.layout import STAYS
from pgrescue.plan.model import BackupPart, Move, Work
from pgrescue.plan.settings import CLONE_BLOCK, CLONE_WHY, RECOVERY_BLOCK
from pgrescue.plan.work import (
    COMBINED_MODE,
    chain_directory,
    combine_command,
    combined_directory,
    combined_tablespace,
    expected_wal,
    fetch_wal_text,
    held_directory,
    service_of,
    tablespace_mapping,
    tail_directory,
)
from pgrescue.postgres.conf_file import BLOCK_BEGIN, BLOCK_END, format_block
from pgrescue.postgres.control_file import RELATIVE_PATH as PG_CONTROL
from pgrescue.postgres.data_directory import AUTO_CONF
from pgrescue.postgres.service import (
    Command,
)
from pgrescue.postgres.tablespace_map import format_tablespace_map

_TAR = "tar --no-unquote -C"
"""GNU tar takes a backslash in the directory's name for the beginning of an escape."""


def stop(work: Work) -> tuple[str, ...]:
    """Stop the service and see that nothing runs."""
    running = f"{_status(work)} >/dev/null"
    command = str(service_of(work).stop)
    return (
        *_hold_wal(work),
        command if work.service.starts_by_itself else f"if {running}; then {command}; fi",
        f"{running} && echo 'still running: do not go on' && exit 1",
    )


def _hold_wal(work: Work) -> tuple[str, ...]:
    """A second name for what the stop's checkpoint may remove, or rename to be written anew."""
    if not work.removable_wal:
        return ()
    held, own = quote(held_directory(work)), quote(work.old_wal or "")
    newest = work.removable_wal[-1]  # a copy of what is written to would be its beginning only
    return (
        *_directories(work, (work.staging, held_directory(work))),
        f"for name in {' '.join(work.removable_wal)}; do [ ! -e {own}/$name ] || "
        f"ln -f {own}/$name {held}/ 2>/dev/null || [ $name = {newest} ] || "
        f"cp -p {own}/$name {held}/; done",
        "sync",
    )


def rescue_wal(work: Work) -> tuple[str, ...]:
    """Copy WAL segments that the archive lacks."""
    tail = tail_directory(work)
    return (
        *_directories(work, (work.staging, tail)),
        *(f"cp -p {quote(path)} {quote(tail)}/" for path in work.rescued),
        *(_rescue_own(work) if work.old_wal else ()),
        f"chown -R {_owner(work)} {quote(tail)}",
    )


def _rescue_own(work: Work) -> tuple[str, ...]:
    tail = quote(tail_directory(work))
    have = f"[ -e {quote(work.wal_archive)}/$name ] || " if work.wal_archive else ""
    lines = [
        fault_function(expected_wal(work)).rstrip(),
        f"cd {quote(work.old_wal or '')}",
        'for name in $(ls | grep -E "^([0-9A-F]{24}|[0-9A-F]{8}[.]history)$"); do '
        f'{have}[ -n "$(fault_of "$name")" ] || cp -p "$name" {tail}/; done',
        *(f"[ ! -e {name} ] || cp -p {name} {tail}/" for name in work.doubted_wal),
    ]
    if work.removable_wal:
        lines += [
            f"cd {quote(held_directory(work))}",
            f"for name in $(ls); do [ -e {tail}/$name ] || {have}"
            f'[ -n "$(fault_of "$name")" ] || cp -p "$name" {tail}/; done',
            *(
                f"[ ! -e {name} ] || [ -e {tail}/{name} ] || cp -p {name} {tail}/"
                for name in work.doubted_wal
            ),
            f"rm -r {quote(held_directory(work))}",
        ]
    return (*lines, "cd /")


def set_aside(work: Work) -> tuple[str, ...]:
    """Rename the old data out of the way."""
    return tuple(line for move in work.moves for line in _move(move))


def _move(move: Move) -> tuple[str, ...]:
    if not move.contents_only:
        return (f"mv -T {quote(move.path)} {quote(move.aside)}",)
    spared = " ".join(f"! -name {name}" for name in sorted(STAYS))
    return (
        f"install -d -m 700 {quote(move.aside)}",
        f"find {quote(move.path)} -mindepth 1 -maxdepth 1 {spared} "
        f"-exec mv -t {quote(move.aside)} {{}} +",
    )


def extract(work: Work) -> tuple[str, ...]:
    """Unpack base backup and tablespaces, pg_control left out, and verify them."""
    part = work.chain[-1]
    if len(work.chain) > 1:
        return tuple(line for number in range(len(work.chain)) for line in _unpack(work, number))
    places = [item.destination for item in part.tablespaces]
    lines = [*_directories(work, (work.data_directory, *places))]
    lines += _unpack_into(work, part, work.data_directory, exclude=PG_CONTROL)
    for item in part.tablespaces:
        lines += _unpack_tablespace(part, item.archive, item.destination)
        link = f"{work.data_directory}/pg_tblspc/{item.oid}"
        lines.append(f"ln -sfn {quote(item.destination)} {quote(link)}")
    if part.has_manifest:
        ignored = " ".join(f"--ignore={name}" for name in (PG_CONTROL, *_set_aside_inside(work)))
        lines.append(
            f"{quote(work.bin_directory)}/pg_verifybackup --no-parse-wal "
            f"{ignored} -m {quote(part.path)}/backup_manifest {quote(work.data_directory)}"
        )
    return tuple(lines)


def _set_aside_inside(work: Work) -> list[str]:
    """Old version directories that lie beside the new ones in the tablespaces' directories."""
    old = [PurePath(move.aside).name for move in work.moves if "/PG_" in move.aside]
    return [f"pg_tblspc/{item.oid}/{name}" for item in work.chain[-1].tablespaces for name in old]


def _unpack(work: Work, number: int) -> list[str]:
    part = work.chain[number]
    if part.format == "plain":
        return []
    place = chain_directory(work, number)
    lines = [*_directories(work, (place,)), *_unpack_into(work, part, place)]
    if part.has_manifest:
        manifest = f"{quote(place)}/backup_manifest"
        lines += [
            f"cp {quote(part.path)}/backup_manifest {manifest}",
            f"chown {_owner(work)} {manifest}",
        ]
    for item in part.tablespaces:
        where = f"{place}.{item.oid}"
        lines += [*_directories(work, (where,))]
        lines += _unpack_tablespace(part, item.archive, where)
        lines.append(f"ln -sfn {quote(where)} {quote(place)}/pg_tblspc/{item.oid}")
    return lines


def combine(work: Work) -> tuple[str, ...]:
    """Combine an incremental chain into one full data directory."""
    combined = combined_directory(work)
    lines = [*_directories(work, (work.data_directory, work.staging, combined))]
    # No server starts in a directory with permissions for others.
    lines.append(f"chmod {COMBINED_MODE:o} {quote(combined)}")
    tablespaces = work.chain[-1].tablespaces
    for item in tablespaces:
        lines += _directories(work, (item.destination, combined_tablespace(work, item)))
    lines += [
        str(combine_command(work)),
        f"mv {quote(f'{combined}/{PG_CONTROL}')} {quote(work.staging)}/",
        f"mv {quote(combined)}/* {quote(work.data_directory)}/",
    ]
    for item in tablespaces:
        new, place = quote(combined_tablespace(work, item)), quote(item.destination)
        link = quote(f"{work.data_directory}/pg_tblspc/{item.oid}")
        lines += [f"mv {new}/PG_* {place}/", f"rmdir {new}", f"ln -sfn {place} {link}"]
    return tuple(lines)


def place_wal(work: Work) -> tuple[str, ...]:
    """Put the backup's own WAL, and the script that serves it, beside the data directory."""
    part = work.chain[-1]
    place = f"{work.staging}/backup"
    lines = [*_directories(work, (work.staging, place))]
    if part.wal_archive is not None:
        lines.append(_untar(f"{part.path}/{part.wal_archive}", place))
    elif part.wal_inside == "plain" and len(work.chain) == 1:
        lines.append(f"cp -p {quote(part.path)}/pg_wal/[0-9A-F]* {quote(place)}/")
    elif part.wal_inside != "none":
        lines.append(f"mv {quote(work.data_directory)}/pg_wal/[0-9A-F]* {quote(place)}/")
    script = f"{work.staging}/{FETCH_WAL}"
    return (
        *lines,
        _here_document(script, fetch_wal_text(work)),
        f"chmod 700 {quote(script)}",
        f"chown -R {_owner(work)} {quote(work.staging)}",
    )


def configure(work: Work, recovery_why: str) -> tuple[str, ...]:
    """Write the recovery settings and the signal file; remove leftovers."""
    data = quote(work.data_directory)
    recovery = {k: v for k, v in work.settings.items() if k not in work.lasting_settings}
    block = format_block(RECOVERY_BLOCK, recovery, recovery_why)
    if work.lasting_settings:
        block = format_block(CLONE_BLOCK, work.lasting_settings, CLONE_WHY) + block
    removed = " ".join(f"{data}/{name}" for name in work.removed_files)
    lines = [f"rm -f {removed}"]
    for name, text in work.added_files.items():
        lines.append(_here_document(f"{work.data_directory}/{name}", text))
    lines.append(_here_document(f"{work.data_directory}/{AUTO_CONF}", block, append=True))
    lines.append(f"touch {data}/{work.signal_file}")
    if work.wal_link is not None:
        lines += [
            *_directories(work, (work.wal_link,)),
            f"rm -f {data}/pg_wal/archive_status/*",
            f"find {data}/pg_wal -depth -type d -empty -delete",
            f"ln -s {quote(work.wal_link)} {data}/pg_wal",
        ]
    mapping = tablespace_mapping(work)
    if mapping:
        text = format_tablespace_map(mapping, work.major)
        lines.append(_here_document(f"{work.data_directory}/tablespace_map", text))
    else:
        lines.append(f"rm -f {data}/tablespace_map")
    return tuple(lines)


def complete(work: Work) -> tuple[str, ...]:
    """Put pg_control in place, hand everything to the owner, sync."""
    places = [work.data_directory, *(item.destination for item in work.tablespaces)]
    lines = _put_control_file(work)
    for place in places:
        lines += [f"chown -R {_owner(work)} {quote(place)}", f"chmod {work.mode:o} {quote(place)}"]
    return (*lines, "sync")


def _put_control_file(work: Work) -> list[str]:
    """A copy from a live server has it in place already."""
    if not work.chain:
        return []
    if len(work.chain) > 1:
        held = f"{work.staging}/{PurePath(PG_CONTROL).name}"
        return [f"mv {quote(held)} {quote(f'{work.data_directory}/{PG_CONTROL}')}"]
    part = work.chain[0]
    if part.format == "tar":
        archive = f"{part.path}/{part.base_archive}"
        return [_untar(archive, work.data_directory, f"--wildcards '*{PG_CONTROL}'")]
    return [f"cp -p {quote(part.path)}/{PG_CONTROL} {quote(f'{work.data_directory}/{PG_CONTROL}')}"]


def start(work: Work) -> tuple[str, ...]:
    """Start the server and wait until it says where it listens."""
    if work.at_the_end == "shutdown":
        return (str(service_of(work).start),)  # it may be gone again before anybody looks
    pid_file = quote(f"{work.data_directory}/postmaster.pid")
    # Line 8, the status, comes after the lines with the socket's directory and the address.
    listens = f'[ -s {pid_file} ] && [ -n "$(sed -n 8p {pid_file})" ]'
    return (
        str(service_of(work).start),
        f"until {listens}; do sleep 1; {_gone(work)}; done",
    )


def replay(work: Work) -> tuple[str, ...]:
    """Wait for the end of recovery, and give up when the server does."""
    if work.at_the_end == "shutdown":
        down = _is_down(work)
        return (f"until {down}; do sleep 2; {down} || {_gone(work)}; done",)
    if work.at_the_end == "pause":
        paused = "select pg_is_wal_replay_paused()"
        if work.major >= 14:
            paused = "select pg_get_wal_replay_pause_state() = 'paused'"
        return (_until(work, paused, "t"),)
    if work.signal_file == "standby.signal":
        return (_until(work, "select pg_is_in_recovery()", "t"),)
    return (_until(work, "select pg_is_in_recovery()", "f"),)


def verify(work: Work) -> tuple[str, ...]:
    """Look into the restored databases."""
    if work.at_the_end == "shutdown":
        return (str(_control_data(work)),)
    return (
        sql(work, "select pg_is_in_recovery(), system_identifier from pg_control_system()"),
        sql(work, "select datname, pg_size_pretty(pg_database_size(oid)) from pg_database"),
    )


def promote(work: Work) -> tuple[str, ...]:
    """End the pause: recovery finishes and the server opens for writing."""
    resume = sql(work, "select pg_wal_replay_resume()")
    return (resume, _until(work, "select pg_is_in_recovery()", "f"))


def tidy(work: Work) -> tuple[str, ...]:
    """Take the recovery block out again."""
    begin = BLOCK_BEGIN.format(name=RECOVERY_BLOCK)
    end = BLOCK_END.format(name=RECOVERY_BLOCK)
    path = quote(f"{work.data_directory}/{AUTO_CONF}")
    return (f"sed -i '/^{begin}$/,/^{end}$/d' {path}", sql(work, "select pg_reload_conf()"))


def delete_old(work: Work) -> tuple[str, ...]:
    """Delete what was set aside."""
    return tuple(f"rm -rf --one-file-system {quote(move.aside)}" for move in work.moves)


def sql(work: Work, statement: str) -> str:
    """A psql call with this cluster's connection parameters."""
    given = work.conninfo
    conninfo = " ".join(
        part
        for key, part in (("dbname", "dbname=postgres"), ("user", f"user={work.owner.name}"))
        if f"{key}=" not in given
    )
    argv = (f"{work.bin_directory}/psql", "-XAtq", "-d", f"{conninfo} {given}".strip())
    pid_file = quote(f"{work.data_directory}/postmaster.pid")
    where = f'-h "$(sed -n 5,6p {pid_file} | grep -m1 .)" -p "$(sed -n 4p {pid_file})"'
    return f"{Command(argv, work.run_as)} {where} -c {quote(statement)}"


def _until(work: Work, statement: str, answer: str) -> str:
    asked = f'[ "$({sql(work, statement)} 2>/dev/null)" = {answer} ]'
    return f"until {asked}; do sleep 1; {_gone(work)}; done"


def _gone(work: Work) -> str:
    """End the script if no server runs any more."""
    return f"{_status(work)} >/dev/null || {{ echo 'the server is gone: see its log'; exit 1; }}"


def _is_down(work: Work) -> str:
    """Whether the server has shut down at its target, by the state in pg_control."""
    return f"LC_ALL=C {_control_data(work)} | grep 'shut down in recovery' >/dev/null"


def _control_data(work: Work) -> Command:
    return Command((f"{work.bin_directory}/pg_controldata", "-D", work.data_directory), work.run_as)


def _status(work: Work) -> Command:
    argv = (f"{work.bin_directory}/pg_ctl", "status", "-D", work.data_directory)
    return Command(argv, work.run_as)


def _owner(work: Work) -> str:
    return f"{work.owner.uid}:{work.owner.gid}"


def _directories(work: Work, paths: tuple[str, ...]) -> tuple[str, ...]:
    owner = f"-o {work.owner.uid} -g {work.owner.gid}" if work.run_as else ""
    return tuple(f"install -d -m {work.mode:o} {owner} {quote(path)}" for path in paths)


def _unpack_into(work: Work, part: BackupPart, place: str, exclude: str = "") -> list[str]:
    leave_out = f"--exclude={exclude}" if exclude else ""
    if part.format == "tar":
        return [_untar(f"{part.path}/{part.base_archive}", place, leave_out)]
    # `pg_wal` may be a link out of the backup: its WAL is copied from there, and the link is not.
    return [
        f"{_TAR} {quote(part.path)} {leave_out} --exclude=./backup_manifest --exclude=./pg_wal "
        f"--exclude='./pg_tblspc/*' -cf - . | {_TAR} {quote(place)} -xpf -",
        *_directories(work, (f"{place}/pg_wal", f"{place}/pg_wal/archive_status")),
    ]


def _unpack_tablespace(part: BackupPart, archive: str, destination: str) -> list[str]:
    if part.format == "tar":
        return [_untar(f"{part.path}/{archive}", destination)]
    return [f"cp -a {quote(archive)}/. {quote(destination)}/"]


def _untar(archive: str, place: str, options: str = "") -> str:
    ending = split_ending(archive)[1]
    into = f"{_TAR} {quote(place)} -xpf - {options}".rstrip()
    if not ending:
        return f"{into} <{quote(archive)}"
    return f"{SHELL_DECOMPRESSORS[ending]} <{quote(archive)} | {into}"


def _here_document(path: str, text: str, *, append: bool = False) -> str:
    redirect = ">>" if append else ">"
    body = text if not text or text.endswith("\n") else f"{text}\n"
    end = "END_OF_FILE"
    while end in body:  # a path may have lines of its own
        end += "_"
    return f"cat {redirect}{quote(path)} <<'{end}'\n{body}{end}"
