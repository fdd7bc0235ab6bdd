"""What happens to the shop: growth, two base backups, a dropped table, and later work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pgrescue import codec
from pgrescue.config.model import Config
from pgrescue.config.write import render_config, write_config
from pgrescue.demo import shop
from pgrescue.demo.directory import DemoDirectory
from pgrescue.demo.sandbox import Sandbox

Say = Callable[[str], None]
SEGMENT_SIZE_MB = 4
"""Small segments: the archive has many files without taking much space."""


@dataclass(frozen=True, slots=True)
class TableState:
    """The content of one table at one moment."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Truth:
    """What a restore is measured against."""

    server_version: str
    database: str
    dropped_table: str
    drop_xid: int
    drop_time: str
    """RFC 3339 in UTC, as the commit record has it."""
    lsn_before_drop: str
    before_drop: dict[str, TableState]
    at_end: dict[str, TableState]
    schema: int = codec.SCHEMA


def read_truth(demo: DemoDirectory) -> Truth:
    """The truth of a complete demo."""
    return codec.from_plain(codec.loads(demo.truth.read_text()), Truth)


def look(sandbox: Sandbox) -> dict[str, TableState]:
    """The shop's tables as the running server shows them."""
    found = {}
    for table in sandbox.sql(shop.TABLES, shop.DATABASE):
        (answer,) = sandbox.sql(shop.table_digest(table), shop.DATABASE)
        rows, _, digest = answer.partition("|")
        found[table] = TableState(int(rows), digest)
    return found


def write_configuration(demo: DemoDirectory, sandbox: Sandbox) -> None:
    """Describe the sandbox to pgrescue, as the one cluster of a new configuration."""
    cluster = sandbox.cluster_config(shop.DATABASE, shop.DATABASE)
    config = Config(path=demo.config, clusters={cluster.name: cluster})
    write_config(demo.config, render_config(config))


def tell(demo: DemoDirectory, sandbox: Sandbox, say: Say) -> Truth:
    """Let the story happen on a running, empty sandbox; the server runs on afterwards."""
    say("A shop opens: customers, products, orders, invoices, payments.")
    sandbox.sql(f"create database {shop.DATABASE}")
    _work(sandbox, shop.SCHEMA + shop.PEOPLE_AND_GOODS + shop.trade(1, 6000, 500))
    say("Base backup 1 (tar, gzip).")
    sandbox.base_backup("monday", "-Ft", "-z", "-Xs", "--label=monday")
    _work(sandbox, shop.trade(6001, 8000, 100))
    say("Base backup 2 (plain).")
    sandbox.base_backup("tuesday", "-Fp", "-Xs", "--label=tuesday")
    _work(sandbox, shop.trade(8001, 9000, 50))
    before = look(sandbox)
    lsn, dropped = sandbox.sql(shop.ACCIDENT, shop.DATABASE)
    xid, _, time = dropped.partition("|")
    say(f"Somebody runs DROP TABLE {shop.DROPPED} ({before[shop.DROPPED].rows} rows).")
    _work(sandbox, shop.trade(9001, 9400, 20, invoiced=False))
    sandbox.switch_wal()
    say("Work goes on for a while before anybody notices; all WAL is archived.")
    truth = Truth(
        server_version=sandbox.binaries.version_text,
        database=shop.DATABASE,
        dropped_table=shop.DROPPED,
        drop_xid=int(xid),
        drop_time=time,
        lsn_before_drop=lsn,
        before_drop=before,
        at_end=look(sandbox),
    )
    demo.truth.write_text(codec.dumps(truth, indent=2) + "\n")
    return truth


def build(demo: DemoDirectory, sandbox: Sandbox) -> None:
    """An empty cluster for the story, and the configuration that names it."""
    sandbox.init(segment_size_mb=SEGMENT_SIZE_MB)
    demo.state.mkdir(mode=0o700)
    write_configuration(demo, sandbox)


def _work(sandbox: Sandbox, statements: str) -> None:
    sandbox.sql(statements, shop.DATABASE)
