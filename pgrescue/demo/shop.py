"""The sandbox's business: a small shop, made of SQL that yields the same rows every time."""

from __future__ import annotations

DATABASE = "shop"
DROPPED = "invoices"
"""The table that goes by accident; no other refers to it, or dropping it would have failed."""

SCHEMA = """
create table customers (
    id int primary key, name text not null, email text not null unique,
    city text not null, joined_on date not null);
create table products (id int primary key, name text not null, price numeric(10,2) not null);
create table orders (
    id int primary key, customer_id int not null references customers,
    ordered_at timestamptz not null, status text not null);
create table order_items (
    order_id int references orders, line int, product_id int not null references products,
    quantity int not null, price numeric(10,2) not null, primary key (order_id, line));
create table invoices (
    id int primary key, order_id int not null references orders,
    issued_on date not null, due_on date not null, amount numeric(10,2) not null);
create table payments (
    id int primary key, order_id int not null references orders,
    paid_at timestamptz not null, amount numeric(10,2) not null, method text not null);
"""

PEOPLE_AND_GOODS = """
insert into customers
select i,
       (array['Ada','Grace','Edgar','Jim','Barbara','Michael','Donald','Frances','Niklaus','Radia'])
           [1 + i % 10] || ' ' ||
       (array['Vogel','Moreau','Silva','Novak','Jensen','Rossi','Kowalski','Okafor','Tanaka'])
           [1 + i / 10 % 9],
       'customer' || i || '@example.com',
       (array['Lisbon','Prague','Lagos','Osaka','Turin','Aarhus','Lyon','Graz'])[1 + i * 7 % 8],
       date '2024-01-02' + i % 700
  from generate_series(1, 1200) i;
insert into products
select i,
       (array['Oak','Steel','Linen','Cork','Brass'])[1 + i % 5] || ' ' ||
       (array['chair','lamp','shelf','kettle','clock','desk','stool','frame'])[1 + i / 5 % 8],
       round((9.90 + i * 37 % 240)::numeric, 2)
  from generate_series(1, 40) i;
"""

_NUMBERS = "generate_series({first}, {last}) n"
_TOTAL = "(select sum(quantity * price) from order_items where order_id = n)"
_INVOICES = f"""
insert into invoices
select n, n, date '2026-01-05' + n / 40, date '2026-01-19' + n / 40, {_TOTAL} from {_NUMBERS};
"""
_TRADE = f"""
begin;
insert into orders
select n, 1 + n * 17 % 1200, timestamptz '2026-01-05 08:00+00' + n * interval '36 minutes',
       (array['shipped','shipped','packed','new'])[1 + n % 4]
  from {_NUMBERS};
insert into order_items
select n, line, p.id, 1 + (n + line) % 3, p.price
  from {_NUMBERS}, generate_series(1, 1 + n % 3) line
  join products p on true where p.id = 1 + (n * 11 + line * 7) % 40;
{{invoices}}
insert into payments
select n, n, timestamptz '2026-01-06 09:00+00' + n * interval '36 minutes', {_TOTAL},
       (array['card','transfer','cash'])[1 + n % 3]
  from {_NUMBERS} where n % 5 <> 0;
commit;
"""


def trade(first: int, last: int, batch: int, *, invoiced: bool = True) -> str:
    """Orders FIRST to LAST with items, invoices and payments, one transaction per batch."""
    return "".join(
        _TRADE.replace("{invoices}", _INVOICES if invoiced else "").format(
            first=start, last=min(start + batch - 1, last)
        )
        for start in range(first, last + 1, batch)
    )


ACCIDENT = f"""
select pg_current_wal_insert_lsn();
begin;
drop table {DROPPED};
select txid_current() as dropper \\gset
commit;
select :'dropper', to_char(pg_xact_commit_timestamp(:'dropper'::xid) at time zone 'UTC',
                           'YYYY-MM-DD"T"HH24:MI:SS.USZ');
"""
"""Answers with the position before, then xid and commit time."""

TABLES = "select tablename from pg_tables where schemaname = 'public' order by 1"


def table_digest(table: str) -> str:
    """A query for the number of rows of a table and a digest of their whole content."""
    return (
        f"set timezone = 'UTC'; select count(*), "
        f"coalesce(md5(string_agg(md5(t::text), '' order by t::text)), '') from {table} t"
    )
