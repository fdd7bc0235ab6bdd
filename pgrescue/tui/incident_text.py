"""An incident in a row and in full. Names come from the WAL's cluster: they can be anything."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from pgrescue.history.model import HitRelation, Incident
from pgrescue.printable import printable
from pgrescue.tui.glyphs import ASCII, Glyphs
from pgrescue.tui.words import exact_moment, fit, in_ascii

_IN_DETAIL = 20
COLUMNS = (("time UTC", 14), ("what was done", 19), ("to", 24), ("rows", 9), ("xid", 8))


def verb_text(incident: Incident) -> str:
    """What was done, as SQL."""
    many = " of many rows" if incident.kind.startswith("mass_") else ""
    return incident.command + many


def name_of(relation: HitRelation) -> str:
    """A relation's name, or the numbers that are known instead."""
    if relation.name is None:
        numbers = (("OID", relation.oid), ("file", relation.relfilenode))
        known = [f"{word} {number}" for word, number in numbers if number is not None]
        return f"({', '.join(known) or 'unknown'})"
    parts = [part for part in (relation.schema, relation.name) if part is not None]
    return ".".join(map(printable, parts))


def relations_text(incident: Incident) -> str:
    """Database, schema, name, and how many more."""
    name, more = _first_and_more(incident)
    database = printable(incident.database) if incident.database else ""
    return ".".join(part for part in (database, name) if part) + more or "(unknown)"


def _first_and_more(incident: Incident) -> tuple[str, str]:
    if not incident.relations:
        return "", ""
    first, *others = incident.relations
    return name_of(first), f" (+{len(others)} more)" if others else ""


def _relations_cell(incident: Incident, width: int, glyphs: Glyphs) -> str:
    """The same in few columns: the database gives way first, then the end of the name."""
    whole = relations_text(incident)
    name, more = _first_and_more(incident)
    if glyphs is ASCII:
        whole, name = in_ascii(whole), in_ascii(name)
    if cell_len(whole) <= width or not name:
        return fit(whole, width, glyphs.cut)
    return fit(name, width - len(more), glyphs.cut) + more


def incident_cells(incident: Incident, what: int, glyphs: Glyphs) -> list[Text]:
    """One row of the table; `what` is the width of its third column."""
    time = exact_moment(incident.time)[5:19]
    rows = "-" if incident.rows is None else f"{incident.rows:,}"
    verb = fit(verb_text(incident), 19, glyphs.cut)
    cells = (time, verb, _relations_cell(incident, what, glyphs), rows, str(incident.xid))
    return [Text(cell) for cell in cells]


def command_text(cluster: str, arguments: Sequence[str]) -> str:
    """The command that makes the plan."""
    return printable(shlex.join(["pgrescue", "--cluster", cluster, "plan", *arguments]))


def incident_text(incident: Incident, cluster: str, glyphs: Glyphs) -> str:
    """Everything about an incident."""
    lines = [
        f"what      {verb_text(incident)} {relations_text(incident)}",
        f"when      {exact_moment(incident.time)}, by transaction {incident.xid}",
        f"rows      {_rows(incident)}",
        f"position  committed at {incident.lsn} on timeline {incident.timeline}; its first known "
        f"record is at {incident.first_lsn}",
    ]
    if incident.note:
        lines.append(f"note      {printable(incident.note)}")
    lines.append(f"command   {command_text(cluster, incident.arguments)}")
    shown = incident.relations[:_IN_DETAIL]
    if len(incident.relations) > 1:
        lines.append(f"all       {', '.join(map(_in_full, shown))}")
        if more := len(incident.relations) - len(shown):
            lines.append(f"          and {more} more")
    elif shown and shown[0].name is not None:
        lines.append(f"relation  {_in_full(shown[0])}")
    text = "\n".join(lines)
    return in_ascii(text) if glyphs is ASCII else text


def _rows(incident: Incident) -> str:
    if incident.rows is None:
        return "not known"
    share = "" if incident.share is None else f", {_percent(incident.share)} of the table"
    return f"{incident.rows:,}{share} (as the backup knew it)" if share else f"{incident.rows:,}"


def _percent(share: float) -> str:
    return "less than 1%" if 0 < share < 0.01 else f"{share:.0%}"


def _in_full(relation: HitRelation) -> str:
    numbers = (("OID", relation.oid), ("file", relation.relfilenode))
    known = [f"{word} {number}" for word, number in numbers if number is not None]
    name = name_of(relation)
    return name if relation.name is None or not known else f"{name} ({', '.join(known)})"
