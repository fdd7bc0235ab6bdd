"""WAL of a real server with everything in it that a reader of WAL has to get through."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import SegmentRef
from pgrescue.wal.pages import SegmentFile
from pgrescue.wal.segment import NAME, SegmentId
from tests.support.segment_bytes import SegmentBytes

MEGABYTE = 1 << 20

_HELPERS = """
create function wal_position() returns numeric language sql volatile as
  $$ select pg_current_wal_insert_lsn() - '0/0'::pg_lsn $$;
-- WAL up to so many bytes before the end of a segment, and not a byte more.
create function fill_up_to(before numeric, segment numeric) returns void language plpgsql as $$
declare
  here numeric := wal_position(); there numeric; bytes numeric; pages numeric;
begin
  there := ceil((here + before + 400) / segment) * segment - before;
  pages := floor((there - 1) / 8192) - floor(here / 8192);
  bytes := there - here - 24 * pages - case when here % segment = 0 then 16 else 0 end;
  perform pg_logical_emit_message(false, 'p', repeat('x', (bytes - 55)::int));
end $$;
create table account (id int primary key, balance int, filler char(80)) with (fillfactor = 70);
insert into account select n, 0, '' from generate_series(1, 300) as n;
create table big (id int, row text);
alter table big alter column row set storage plain;
create table many (id int);
create table rows (id int primary key, note text);
create procedure work(count int) language plpgsql as $$
begin
  for n in 1..count loop
    update account set balance = balance + n where id = 1 + (n * 7919) % 300;
    insert into rows values ((select coalesce(max(id), 0) + 1 from rows), md5(n::text));
    commit;
  end loop;
end $$;
create procedure subtransactions(count int) language plpgsql as $$
begin
  for n in 1..count loop
    begin
      insert into many values (n);
    exception when division_by_zero then
      null;
    end;
  end loop;
end $$;
"""

_WORK = """
call work(150);
select pg_create_restore_point('after the first work');
begin; savepoint a; insert into many values (1); savepoint b; insert into many values (2);
rollback to b; release a; insert into many values (3); commit;
begin; call subtransactions(40); rollback;
insert into big select n, repeat(chr(65 + n), 7900) from generate_series(1, 20) as n;
create table short_lived as select generate_series(1, 2000) as n;
create index on short_lived (n);
begin; insert into many values (4); savepoint a; insert into many values (5); drop table
short_lived; prepare transaction 'kept';
insert into many values (6);
commit prepared 'kept';
begin; create table never_seen (n int); insert into never_seen values (1);
prepare transaction 'lost';
rollback prepared 'lost';
begin; create table never_seen (n int); insert into never_seen values (1); rollback;
truncate many;
delete from rows where id % 3 = 0;
checkpoint;
vacuum full account;
reindex table rows;
select pg_create_restore_point('before a switch');
select pg_switch_wal();
select pg_logical_emit_message(true, 'some', repeat('hundreds of kilobytes ', 20000));
call work(30);
"""

_AT_SEAMS = """
-- A commit across the end of a segment, with some thousand subtransactions.
begin; call subtransactions(2500); select fill_up_to(4000, {segment}); commit;
-- Commits whose header is split: 16 and 8 bytes of it are in the first segment.
begin; insert into many values (7); select fill_up_to(16, {segment}); commit;
begin; insert into many values (8); select fill_up_to(8, {segment}); commit;
-- Commits that end with the segment, or begin with the next one.
begin; insert into many values (9); select fill_up_to({commit}, {segment}); commit;
begin; insert into many values (10); select fill_up_to(0, {segment}); commit;
begin; insert into many values (10); select fill_up_to(24, {segment}); commit;
begin; drop table big; select fill_up_to(32, {segment}); commit;
select pg_create_restore_point('after the seams');
"""

_END = """
select pg_replication_origin_create('elsewhere');
select pg_replication_origin_session_setup('elsewhere');
begin; select pg_replication_origin_xact_setup('0/AFFE', '2020-02-20 20:20:20+00');
insert into many values (11); commit;
begin; insert into many values (12); savepoint a; insert into many values (13); rollback;
select pg_replication_origin_session_reset();
create database another;
drop database another;
select pg_switch_wal();
call work(60);
"""


@dataclass(frozen=True, slots=True)
class RealWal:
    """Consecutive segments that a server has written, the last one perhaps not to its end."""

    binaries: ServerBinaries
    directory: Path
    segment_size: int
    timeline: int = 1

    @property
    def names(self) -> list[str]:
        """The segments' names."""
        return sorted(item.name for item in self.directory.iterdir() if NAME.fullmatch(item.name))

    def content(self, name: str) -> bytes:
        """A segment's bytes."""
        return (self.directory / name).read_bytes()

    def start(self, name: str) -> Lsn:
        """Where a segment begins by its name."""
        return SegmentId.parse(name, self.segment_size).start(self.segment_size)

    def ref(self, name: str, content: bytes | None = None) -> SegmentRef:
        """A reference to a segment, or to other bytes in its place."""
        source = SegmentFile(str(self.directory / name))
        where = source if content is None else SegmentBytes(content)
        return SegmentRef(name, int(name[:8], 16), self.start(name), where)

    def refs(self) -> list[SegmentRef]:
        """All segments."""
        return [self.ref(name) for name in self.names]


def settings(major: int, wal_level: str) -> dict[str, str]:
    """Nothing is recycled, nothing happens by itself, and all sorts of records are written."""
    keep = {"wal_keep_segments": "1000"} if major < 13 else {"wal_keep_size": "1GB"}
    return {
        **keep,
        "archive_mode": "off",
        "autovacuum": "off",
        "bgwriter_lru_maxpages": "0",
        "checkpoint_timeout": "1h",
        "max_wal_size": "2GB",
        "max_prepared_transactions": "10",
        "wal_level": wal_level,
        "synchronous_commit": "off",
    }


def compressions(sandbox: Sandbox) -> list[str]:
    """The values of wal_compression that compress."""
    (values,) = sandbox.sql(
        "select coalesce(array_to_string(enumvals, ' '), 'on') from pg_settings"
        " where name = 'wal_compression'"
    )
    return [value for value in values.split() if value != "off"]


def do_work(sandbox: Sandbox, segment_size: int) -> None:
    """A bit of everything."""
    compressed = "".join(
        f"set wal_compression = '{name}'; checkpoint; update account set balance = {n};\n"
        for n, name in enumerate(compressions(sandbox))
    )
    # A plain commit of its own has 34 bytes; with a top-level id or an origin it has more.
    at_seams = _AT_SEAMS.format(segment=segment_size, commit=40)
    huge = f"select pg_logical_emit_message(false, 'huge', repeat('x', {3 * MEGABYTE}));"
    for script in (_HELPERS, _WORK, compressed, at_seams, huge, _END):
        sandbox.sql(script)


def write_wal(
    sandbox: Sandbox, target: Path, *, segment_size_mb: int = 1, wal_level: str = "replica"
) -> RealWal:
    """A cluster's WAL from its first segment to the shutdown, copied into a directory."""
    sandbox.init(segment_size_mb, settings=settings(sandbox.binaries.major, wal_level))
    sandbox.start()
    do_work(sandbox, segment_size_mb * MEGABYTE)
    sandbox.stop()
    target.mkdir()
    target.chmod(0o755)
    for segment in (sandbox.data / "pg_wal").iterdir():
        if NAME.fullmatch(segment.name):
            shutil.copy(segment, target)
            (target / segment.name).chmod(0o644)
    return RealWal(sandbox.binaries, target, segment_size_mb * MEGABYTE)
