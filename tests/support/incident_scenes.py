"""The scenes: what people regret, and what only looks like it."""

from __future__ import annotations

from tests.support.incident_stage import SHOP, Stage

MANY = 5000
"""Rows of the tables of which many are lost."""
FEW = 100
"""Rows of the others."""

_BATCHES = """
do $$ begin
  for batch in 0..4 loop
    begin
      delete from app.batched where id % 5 = batch;
    exception when division_by_zero then raise; end;
  end loop;
end $$
"""
_BIG = "(select string_agg(md5(i::text), '') from generate_series(1, {count}) i)"


def furnish(stage: Stage) -> None:
    """Everything that exists when the backup is taken."""
    for database in (SHOP, "ledger", "doomed"):
        stage.do(f"create database {database}", database="postgres")
    for tablespace in ("fast", "spare"):
        stage.sandbox.create_tablespace(tablespace)
    stage.do("create schema app", "create schema sales", "create role clerk")
    for name in _FEW_ROWS.split():
        _table(stage, name, FEW)
    for name in _MANY_ROWS.split():
        _table(stage, name, MANY)
    stage.do(
        "create index items_note on app.items (note)",
        "create index items_body on app.items (body)",
        "create materialized view app.totals as select note, count(*) from app.items group by 1",
        "create view sales.overview as select * from sales.invoices",
        "create sequence sales.numbers",
        "alter table app.in_fast set tablespace fast",
        "create table app.numbered (id serial primary key, body text)",
        f"insert into app.numbered (body) select 'n' from generate_series(1, {FEW})",
        "create table app.parent (id int primary key)",
        "create table app.child (id int, parent int references app.parent on delete cascade)",
        "create table app.owner (id int primary key)",
        "create table app.owned (id int, owner int references app.owner on delete cascade)",
        "create index on app.owned (owner)",
        f"insert into app.parent select generate_series(1, {FEW})",
        f"insert into app.child select i, i from generate_series(1, {FEW}) i",
        "insert into app.owner select generate_series(1, 20)",
        f"insert into app.owned select i, i % 20 + 1 from generate_series(1, {MANY}) i",
        "create unlogged table app.scratch (id int primary key, body text)",
        f"insert into app.scratch select i, 'x' from generate_series(1, {FEW}) i",
        "alter table app.clerks_a owner to clerk",
        "alter table app.clerks_b owner to clerk",
        "create materialized view app.refreshed as select id, body from app.still_a",
        "create unique index on app.refreshed (id)",
        "create table app.docs (id int primary key, body text)",
        f"insert into app.docs select i, {_BIG.format(count=1500)} from generate_series(1, 60) i",
        "delete from app.tailed where id > 100",
        "delete from app.customers where id > 50",
        f"update app.customers set body = {_BIG.format(count=400)}",
    )
    for name in ("years", "moved", "partly"):
        _partitioned(stage, f"app.{name}")
    _table(stage, "public.accounts", FEW, "ledger")
    stage.do("create table precious (id int)", database="doomed")


_FEW_ROWS = """
app.customers app.in_fast app.pair_a app.pair_b app.items app.events app.log_a app.log_b
app.promised app.in_savepoint app.old_name app.rewritten app.after_catalogs
app.clerks_a app.clerks_b sales.invoices sales.orders sales.lines app.survivor app.renewed
"""
_MANY_ROWS = """
app.all_gone app.most_gone app.gone_in_savepoint app.batched app.repriced app.archived
app.still_a app.still_b app.tailed app.retyped app.locked
"""


def _table(stage: Stage, name: str, rows: int, database: str = SHOP) -> None:
    stage.do(
        f"create table {name} (id int primary key, body text, note text)",
        f"insert into {name} select i, 'body ' || i, 'note' from generate_series(1, {rows}) i",
        database=database,
    )


def _partitioned(stage: Stage, name: str) -> None:
    stage.do(
        f"create table {name} (id int, half int) partition by list (half)",
        f"create table {name}_0 partition of {name} for values in (0)",
        f"create table {name}_1 partition of {name} for values in (1)",
        f"insert into {name} select i, i % 2 from generate_series(1, {MANY}) i",
    )


def drops(stage: Stage) -> None:
    """Things dropped in the usual ways."""
    crime = stage.crime
    crime("drop_table", "app.customers", "drop table app.customers", scene="drop a table")
    crime("drop_table", "app.in_fast", "drop table app.in_fast", scene="drop in a tablespace")
    both = "drop table app.pair_a, app.pair_b"
    crime("drop_table", "app.pair_a app.pair_b", both, scene="drop two tables at once")
    crime("drop_index", "app.items_note", "drop index app.items_note", scene="drop an index")
    stage.crime_alone(
        "drop_index",
        "app.items_body",
        "drop index concurrently app.items_body",
        scene="drop an index concurrently",
        database=SHOP,
    )
    crime(
        "drop_materialized_view",
        "app.totals",
        "drop materialized view app.totals",
        scene="drop a materialized view",
    )
    crime(
        "drop_schema",
        "sales.invoices sales.lines sales.orders",
        "drop schema sales cascade",
        scene="drop a schema with all that is in it",
        may_name="sales.numbers sales.overview",
    )
    crime("drop_table", "app.scratch", "drop table app.scratch", scene="drop an unlogged table")
    crime(
        "drop_table",
        "app.years_0 app.years_1",
        "drop table app.years",
        scene="drop a partitioned table",
        may_name="app.years",
    )
    crime(
        "drop_table",
        "app.clerks_a app.clerks_b",
        "drop owned by clerk",
        scene="drop all that a role owns",
    )
    crime(
        "drop_table",
        "public.accounts",
        "drop table accounts",
        scene="drop in another database",
        database="ledger",
    )
    stage.leave("doomed")
    stage.crime_alone(
        "drop_database", "", "drop database doomed", scene="drop a database", database="doomed"
    )
    stage.crime_alone(
        "drop_tablespace", "", "drop tablespace spare", scene="drop a tablespace", database=None
    )


def drops_in_disguise(stage: Stage) -> None:
    """Tables whose files or names are not those that the backup knows."""
    crime = stage.crime
    crime(
        "drop_table",
        "app.in_savepoint",
        "savepoint a",
        "drop table app.in_savepoint",
        "release a",
        "insert into app.survivor values (-1)",
        scene="drop in a released savepoint",
    )
    stage.do("create table app.newcomer as select generate_series(1, 100) as id")
    crime(
        "drop_table",
        "app.newcomer",
        "drop table app.newcomer",
        scene="drop what the backup does not have",
        in_backup=False,
    )
    stage.do("alter table app.old_name rename to new_name")
    crime(
        "drop_table",
        "app.new_name",
        "drop table app.new_name",
        scene="drop a renamed table",
        old_names="app.old_name",
    )
    stage.do("vacuum full app.rewritten")
    crime("drop_table", "app.rewritten", "drop table app.rewritten", scene="drop a rewritten table")
    with stage.innocent("rewrite the catalogs"):
        stage.do("vacuum full pg_class", "vacuum full pg_attribute", f"reindex system {SHOP}")
    crime(
        "drop_table",
        "app.after_catalogs",
        "drop table app.after_catalogs",
        scene="drop after the catalogs were rewritten",
    )


def truncations(stage: Stage) -> None:
    """TRUNCATE and its options."""
    crime = stage.crime
    crime("truncate", "app.events", "truncate app.events", scene="truncate")
    both = "truncate app.log_a, app.log_b"
    crime("truncate", "app.log_a app.log_b", both, scene="truncate two tables")
    crime(
        "truncate",
        "app.numbered",
        "truncate app.numbered restart identity",
        scene="truncate and restart the sequence",
        may_name="app.numbered_id_seq",
    )
    cascade = "truncate app.parent cascade"
    crime("truncate", "app.child app.parent", cascade, scene="truncate with what refers to it")


def mass_changes(stage: Stage) -> None:
    """DELETE and UPDATE of many rows."""
    crime = stage.crime
    crime("mass_delete", "app.all_gone", "delete from app.all_gone", scene="delete all", rows=MANY)
    crime(
        "mass_delete",
        "app.most_gone",
        "delete from app.most_gone where id % 5 < 3",
        scene="delete most",
        rows=MANY * 3 // 5,
    )
    crime(
        "mass_delete",
        "app.gone_in_savepoint",
        "savepoint a",
        "delete from app.gone_in_savepoint",
        "release a",
        scene="delete in a released savepoint",
        rows=MANY,
    )
    crime("mass_delete", "app.batched", _BATCHES, scene="delete in batches", rows=MANY)
    crime(
        "mass_delete",
        "app.archived",
        "create table app.kept as select * from app.archived limit 0",
        "with gone as (delete from app.archived returning *) "
        "insert into app.kept select * from gone",
        scene="move with a common table expression",
        rows=MANY,
    )
    crime(
        "mass_delete",
        "app.partly_0 app.partly_1",
        "delete from app.partly",
        scene="delete from a partitioned table",
        may_name="app.partly",
        rows=MANY,
    )
    crime(
        "mass_delete",
        "app.owned",
        "delete from app.owner",
        scene="delete through a foreign key",
        may_name="app.owner",
    )
    crime(
        "mass_update",
        "app.repriced",
        "update app.repriced set note = 'all the same'",
        scene="update all",
        rows=MANY,
    )


def maintenance(stage: Stage) -> None:
    """Files come and go, data stays."""
    harmless = stage.harmless
    harmless("vacuum away a tail", "vacuum app.tailed")
    harmless("vacuum full", "vacuum full app.still_a")
    harmless("cluster", "cluster app.still_a using still_a_pkey")
    harmless("reindex a table", "reindex table app.still_a")
    harmless("reindex an index", "reindex index app.still_a_pkey")
    harmless("reindex concurrently", "reindex table concurrently app.still_a")
    harmless("analyze", "analyze app.still_a", "analyze app.still_b", "analyze app.locked")
    harmless("checkpoint", "checkpoint", "select pg_switch_wal()")
    harmless("change a type", "alter table app.retyped alter id type bigint")
    harmless("set unlogged", "alter table app.renewed set unlogged")
    harmless("set logged", "alter table app.renewed set logged")
    harmless("move to a tablespace", "alter table app.renewed set tablespace fast")
    harmless("move an index", "alter index app.renewed_pkey set tablespace fast")
    harmless("add a random column", "alter table app.retyped add luck float default random()")
    harmless("refresh", "refresh materialized view app.refreshed")
    stage.do(f"update app.still_a set body = 'other' where id <= {FEW}")
    harmless("refresh concurrently", "refresh materialized view concurrently app.refreshed")
    harmless("create a database", "create database another")
    harmless("lock every row", "begin", "select id from app.locked for update", "commit")


def short_lives(stage: Stage) -> None:
    """What nobody else has ever seen."""
    harmless = stage.harmless
    harmless(
        "a temporary table",
        "create temp table t as select generate_series(1, 9000) as id",
        "create index on t (id)",
        "delete from t",
        "truncate t",
        "drop table t",
    )
    harmless(
        "on commit drop",
        "begin",
        "create temp table t (id int) on commit drop",
        "insert into t select generate_series(1, 9000)",
        "commit",
    )
    harmless(
        "create and drop in one transaction",
        "begin",
        "create table app.brief as select generate_series(1, 9000) as id",
        "create index on app.brief (id)",
        "drop table app.brief",
        "commit",
    )
    harmless(
        "create, fill and truncate in one transaction",
        "begin",
        "create table app.staging as select generate_series(1, 9000) as id",
        "truncate app.staging",
        "insert into app.staging values (1)",
        "commit",
    )
    harmless(
        "create, fill and delete in one transaction",
        "begin",
        "create table app.drafts as select generate_series(1, 9000) as id",
        "delete from app.drafts",
        "commit",
    )
    harmless(
        "an index that comes and goes",
        "begin",
        "create index brief on app.still_b (note)",
        "drop index app.brief",
        "commit",
    )


def second_thoughts(stage: Stage) -> None:
    """What was taken back in time."""
    harmless = stage.harmless
    for name, statement in (
        ("drop", "drop table app.still_b"),
        ("truncate", "truncate app.still_b"),
        ("delete", "delete from app.still_b"),
        ("update", "update app.still_b set note = 'wrong'"),
        ("drop of a schema", "drop schema sales cascade"),
    ):
        harmless(f"rolled-back {name}", "begin", statement, "rollback")
    for name, statement in (
        ("drop", "drop table app.still_b"),
        ("truncate", "truncate app.still_b"),
        ("delete", "delete from app.still_b"),
    ):
        harmless(
            f"{name} in a rolled-back savepoint",
            "begin",
            "insert into app.survivor select max(id) + 1 from app.survivor",
            "savepoint a",
            statement,
            "rollback to a",
            "commit",
        )
    harmless(
        "a prepared drop that is rolled back",
        "begin",
        "drop table app.still_b",
        "prepare transaction 'never'",
        "rollback prepared 'never'",
    )


def ordinary_work(stage: Stage) -> None:
    """Much work, little loss."""
    harmless = stage.harmless
    more = f"select i, 'more', 'x' from generate_series({MANY + 1}, {MANY * 3}) i"
    harmless("insert many", f"insert into app.still_b {more}")
    lines = "".join(f"{n}\n" for n in range(MANY + 1, MANY * 3))
    copy = "copy app.locked (id) from stdin"
    with stage.innocent("copy"), stage.connection().cursor().copy(copy) as stream:
        stream.write(lines)
    harmless("delete a few", "delete from app.still_b where id <= 20")
    harmless("delete nothing", "delete from app.still_b where id < 0")
    harmless("update a few", "update app.still_b set note = 'y' where id between 100 and 130")
    harmless("move rows to another partition", "update app.moved set half = 0 where half = 1")
    harmless(
        "store few large values anew",
        f"update app.docs set body = {_BIG.format(count=1600)} || id",
    )
    harmless("detach a partition", "alter table app.moved detach partition app.moved_1")
    harmless("drop a column", "alter table app.still_b drop column note")
    harmless("drop a view", "create view app.v as select 1", "drop view app.v")


def promises(stage: Stage) -> None:
    """What is prepared at the beginning and committed at the end."""
    stage.promise(
        "drop_table",
        "app.promised",
        "drop table app.promised",
        scene="drop by a prepared transaction",
    )
