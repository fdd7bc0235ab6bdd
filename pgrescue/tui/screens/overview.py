"""The overview: clusters with their state and newest backup, and the last runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable, Static

from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.view import ClusterGlance, RunRow
from pgrescue.tui.widgets.cells import state_cell
from pgrescue.tui.widgets.nav_table import NavTable
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.words import age, moment, short_moment, shorten

_CLUSTERS = (
    ("cluster", 14),
    ("version", 7),
    ("server", 10),
    ("newest backup", 22),
    ("age", 15),
    ("WAL", 6),
)
_RUNS = (("run", 21), ("cluster", 12), ("state", 13), ("what", 30))


class OverviewScreen(RescueScreen):
    """The root: everything begins and ends here."""

    KIND = "overview"
    STAGE = "cluster"
    BINDINGS = bindings_of("overview")

    def __init__(self, cluster: str = "", notice: str = "") -> None:
        super().__init__()
        self._notice = notice
        self._first = cluster
        self._glances: dict[str, ClusterGlance] = {}
        self._runs: tuple[RunRow, ...] = ()

    def compose_body(self) -> ComposeResult:
        """Clusters above, runs below, a notice at the foot."""
        yield NavTable(_CLUSTERS, id="clusters")
        yield PlainText(id="detail")
        yield NavTable(_RUNS, id="runs")
        if self._notice:
            yield PlainText(self._notice, id="notice")

    def on_mount(self) -> None:
        """Name the clusters at once; what is known of them comes as it is found out."""
        self._paint()
        names = list(self.bridge.clusters())
        if self._first in names:
            self._table("clusters").move_cursor(row=names.index(self._first), animate=False)
        self._table("clusters").focus()

    def on_screen_resume(self) -> None:
        """Look again whenever one comes back here."""
        self.rescue.run_of_place("")
        super().on_screen_resume()
        self.action_refresh()

    def action_refresh(self) -> None:
        """Look at every cluster and at the runs, each in its own thread."""
        for name in self.bridge.clusters():
            self.errand(f"Looking at {name}", partial(self.bridge.glance, name), self._seen)
        self.errand("Reading the runs", self.bridge.runs, self._runs_read)

    def action_open(self) -> None:
        """Go on with what is under the cursor."""
        if self._table("runs").has_focus:
            if (run := self._table("runs").current) is not None:
                self.rescue.open_run(run)
            return
        if (glance := self._seen_cluster()) is not None:
            self.rescue.open_catalog(glance)

    def action_backup(self) -> None:
        """Take a backup of the cluster under the cursor."""
        if (glance := self._seen_cluster()) is not None:
            self.choose_backup(glance)

    def action_timeline(self) -> None:
        """The map of the WAL of the cluster under the cursor."""
        if (glance := self._seen_cluster()) is not None:
            self.rescue.open_timeline(glance)

    def action_incidents(self) -> None:
        """What destroyed data in the cluster under the cursor."""
        if (glance := self._seen_cluster()) is not None:
            self.rescue.open_incidents(glance)

    def action_explain(self) -> None:
        """What is known about the cluster or the run under the cursor."""
        if self._table("runs").has_focus:
            row = next((r for r in self._runs if r.id == self._table("runs").current), None)
            if row is not None:
                self.rescue.show_page(f"Run {row.id}", run_text(row))
        elif (glance := self._current()) is not None:
            self.rescue.show_page(f"Cluster {glance.name}", cluster_text(glance))

    def action_back(self) -> None:
        """The root of the way back: leave."""
        self.rescue.exit()

    @on(DataTable.RowHighlighted, "#clusters")
    def _moved(self) -> None:
        self._show_current()

    def _seen(self, glance: ClusterGlance) -> None:
        self._glances[glance.name] = glance
        self._paint()
        self._show_current()

    def _runs_read(self, runs: tuple[RunRow, ...]) -> None:
        self._runs = runs
        self._table("runs").show_rows((row.id, run_cells(row, self.glyphs)) for row in runs)

    def _paint(self) -> None:
        now = datetime.now(UTC)
        self._table("clusters").show_rows(
            (name, cluster_cells(name, self._glances.get(name), self.glyphs, now))
            for name in self.bridge.clusters()
        )

    def _show_current(self) -> None:
        name, glance = self._table("clusters").current, self._current()
        text = f"Looking at {name}." if glance is None else detail_text(glance)
        self.query_one("#detail", Static).update(text)
        place = replace(self.rescue.place, cluster=name or "", data_directory="", server="unknown")
        if glance is not None:
            place = replace(place, data_directory=glance.data_directory, server=glance.server)
        self.rescue.set_place(place)

    def _seen_cluster(self) -> ClusterGlance | None:
        glance = self._current()
        if glance is None:
            self.say("Still looking at this cluster.")
        return glance

    def _current(self) -> ClusterGlance | None:
        return self._glances.get(self._table("clusters").current or "")

    def _table(self, name: str) -> NavTable:
        return self.query_one(f"#{name}", NavTable)


def cluster_cells(
    name: str, glance: ClusterGlance | None, glyphs: Glyphs, now: datetime
) -> list[Text]:
    """One row of the table of clusters."""
    if glance is None:
        return [Text(shorten(name, 14, glyphs.cut)), *(Text("") for _ in _CLUSTERS[1:])]
    newest = glance.newest
    return [
        Text(shorten(name, 14, glyphs.cut)),
        Text(glance.version),
        state_cell(glance.server, glyphs),
        Text(newest.id if newest else "NONE", "" if newest else "red"),
        Text(age(newest.stopped_at or newest.started_at, now) if newest else "-"),
        Text("-" if glance.segments is None else str(glance.segments)),
    ]


def run_cells(row: RunRow, glyphs: Glyphs) -> list[Text]:
    """One row of the table of runs."""
    return [
        Text(row.id),
        Text(shorten(row.cluster, 12, glyphs.cut)),
        state_cell(row.state, glyphs),
        Text(row.target),
    ]


def detail_text(glance: ClusterGlance) -> str:
    """A few lines about the cluster under the cursor."""
    usable = sum(backup.usable for backup in glance.backups)
    lines = [
        f"data      {glance.data_directory}",
        f"server    {glance.server}: {glance.server_detail}",
        f"backups   {usable} of {len(glance.backups)} usable, in {', '.join(glance.backup_places)}",
        f"archive   {glance.archive or 'none is configured'}",
    ]
    if glance.problem:
        lines.insert(0, f"PROBLEM   {glance.problem}")
    return "\n".join(lines)


def cluster_text(glance: ClusterGlance) -> str:
    """The page about a cluster."""
    newest = glance.newest
    return "\n".join(
        [
            detail_text(glance),
            f"newest    {newest.id if newest else 'no usable backup'}",
            "",
            "enter leads to its backups, then to a target, then to a plan. Nothing is changed",
            "before you confirm the plan. b leads to a new backup, over its choices and its plan.",
            "",
            "The same from the command line:",
            f"  pgrescue --cluster {glance.name} catalog",
            f"  pgrescue --cluster {glance.name} backup --dry-run",
            f"  pgrescue --cluster {glance.name} doctor",
        ]
    )


def run_text(row: RunRow) -> str:
    """The page about a run."""
    old = [] if row.is_backup else [f"old data  {row.set_aside or 'nothing is set aside'}"]
    return "\n".join(
        [
            f"cluster   {row.cluster}",
            f"created   {moment(row.created_at)} ({short_moment(row.created_at)} UTC)",
            f"purpose   {row.purpose}",
            f"{'backup' if row.is_backup else 'target'}    {row.target}",
            f"state     {row.state}",
            *old,
            "",
            "enter opens it. The same from the command line:",
            f"  pgrescue status {row.id}",
            f"  pgrescue attach {row.id}",
        ]
    )
