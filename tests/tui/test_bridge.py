"""The real bridge: a run followed through its journal, and a whole restore by keys alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgrescue.backup.model import BackupPlan
from pgrescue.config.load import load_config
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.run import records
from pgrescue.run.journal import Journal
from pgrescue.run.run_directory import RunDirectory, create_run, find_run
from pgrescue.tui.application import RescueApp
from pgrescue.tui.bridge import DeskBridge, JournalWatch
from tests.conftest import SandboxFactory
from tests.support.cluster import Workspace, cluster_config
from tests.tui import snapshots
from tests.tui.screen_text import focused_label, press, see, text


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run that was created and not started."""
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path))
    return create_run(snapshots.plan())


@pytest.fixture
def journal(run: RunDirectory) -> Iterator[Journal]:
    """Its journal, open for appending."""
    journal = Journal(run.journal_path)
    yield journal
    journal.close()


def _progress(done: int) -> records.Progress:
    return records.Progress(
        step="extract", done_bytes=done, total_bytes=100, rate=None, eta_seconds=None, detail=""
    )


def test_watch_sees_what_is_appended_and_only_the_last_progress(
    run: RunDirectory, journal: Journal
) -> None:
    watch = JournalWatch(run)
    assert watch.look().state.steps[3].state == "pending"
    journal.append(records.StepBegan(step="extract", title="Extract"))
    for done in range(50):
        journal.append(_progress(done))
    view = watch.look()
    assert view.state.step == "extract"
    assert view.state.progress is not None
    assert view.state.progress.done_bytes == 49
    assert len(watch._found.records) == 3


def test_watch_waits_for_the_rest_of_a_torn_line(run: RunDirectory, journal: Journal) -> None:
    watch = JournalWatch(run)
    watch.look()
    journal.append(records.Note(step="extract", message="told"))
    whole = run.journal_path.read_bytes()
    run.journal_path.write_bytes(whole[:-9])
    assert watch.look().state.notes == ()
    run.journal_path.write_bytes(whole)
    assert watch.look().state.notes == ("told",)


def test_a_damaged_journal_is_told_as_the_commands_tell_it(
    run: RunDirectory, journal: Journal
) -> None:
    journal.append(records.StepBegan(step="stop", title="Stop"))
    journal.append(records.StepBegan(step="extract", title="Extract"))
    whole = run.journal_path.read_bytes()
    lines = whole.splitlines(keepends=True)
    run.journal_path.write_bytes(b"".join((*lines[:-2], b"#" + lines[-2][1:], lines[-1])))
    watch = JournalWatch(run)
    assert watch.look().state == run.state()
    assert f"damaged at line {len(lines) - 1}" in watch.look().state.notes[-1]
    run.journal_path.write_bytes(whole)
    assert watch.look().state.step == "extract"


def test_run_whose_runner_is_gone_is_interrupted(run: RunDirectory, journal: Journal) -> None:
    journal.append(records.Started(purpose="restore", pid=1, process_start=-1, boot_id="other"))
    assert JournalWatch(run).look().state.state == "interrupted"


def test_what_can_be_discarded_is_shown_at_once_and_counted_then(
    run: RunDirectory, journal: Journal, tmp_path: Path
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    (aside / "file").write_bytes(bytes(8192))
    journal.append(records.Moving(path=snapshots.DATA, aside=str(aside), contents_only=False))
    journal.append(records.Moved(path=snapshots.DATA, aside=str(aside)))
    journal.append(records.Finished(state="succeeded"))
    watch = JournalWatch(run)
    (at_first,) = watch.look().discardable
    assert (at_first.path, at_first.size_bytes) == (str(aside), None)
    assert at_first.since is not None
    for _ in range(2):
        (item,) = watch.look().discardable
        assert (item.size_bytes, item.files) == (8192, 1)


def test_programs_cannot_reach_the_terminal_through_their_output(run: RunDirectory) -> None:
    run.tool_log.write_bytes(b"\x1b[31mred\x1b[0m\x07 \xff\tend\n")
    (line,) = JournalWatch(run).look().log
    assert line.startswith(r"\x1b[31mred\x1b[0m\x07 ")
    assert line.isprintable()


def test_long_log_is_read_from_its_end(run: RunDirectory) -> None:
    run.tool_log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    log = JournalWatch(run).look().log
    assert log[-1] == "line 99999"
    assert all(line.startswith("line ") for line in log)
    assert len(log) < 1000


def test_overview_shows_a_wrong_path_instead_of_failing(
    workspace: Workspace, any_binaries: ServerBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGRESCUE_STATE", str(workspace.state))
    sandbox = workspace.sandbox(any_binaries)
    sandbox.directory.mkdir()
    workspace.configure(cluster_config(sandbox))
    bridge = DeskBridge(load_config(workspace.config))
    glance = bridge.glance("main")
    assert glance.server == bridge.server("main") == "gone"
    assert glance.problem is not None
    assert "does not exist" in glance.problem


@pytest.mark.server
async def test_restore_and_undo_by_keys_alone(
    workspace: Workspace,
    any_binaries: ServerBinaries,
    sandbox_factory: SandboxFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGRESCUE_STATE", str(workspace.state))
    sandbox = sandbox_factory(any_binaries, segment_size_mb=1)
    sandbox.sql("create table kept (n int)")
    sandbox.base_backup("one", "-Fp", "-Xs")
    sandbox.sql("insert into kept values (1)")
    (xid,) = sandbox.sql("begin; select pg_current_xact_id(); drop table kept; commit")
    sandbox.switch_wal()
    workspace.configure(cluster_config(sandbox))
    app = RescueApp(DeskBridge(load_config(workspace.config)))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await see(pilot, "1 of 1 usable")
        await press(pilot, "enter", "enter", *["right"] * 5, "down", *xid, "enter")
        await see(pilot, "0 blockers", 30)
        await press(pilot, "enter")
        await see(pilot, "Restore in place on host")
        await press(pilot, "tab", "enter")
        await see(pilot, "AT THE TARGET", 60)
        assert sandbox.sql("select to_regclass('kept') is not null") == ["t"]
        await press(pilot, "a", "G", "enter")
        await see(pilot, "put the old" if "Cancel" not in text(pilot) else "Cancel")
        assert focused_label(pilot) == "Cancel"
        await press(pilot, "tab", "enter")
        await see(pilot, "UNDONE", 60)
        await press(pilot, "r")
        await see(pilot, "report.md")
        await press(pilot, "q", "q")
        await see(pilot, "undone")
    assert sandbox.sql("select to_regclass('kept') is null") == ["t"]


@pytest.mark.server
async def test_backup_and_verification_by_keys_alone(
    workspace: Workspace,
    any_binaries: ServerBinaries,
    sandbox_factory: SandboxFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGRESCUE_STATE", str(workspace.state))
    sandbox = sandbox_factory(any_binaries, segment_size_mb=1)
    workspace.configure(cluster_config(sandbox))
    bridge = DeskBridge(load_config(workspace.config))
    async with RescueApp(bridge).run_test(size=(80, 24), notifications=True) as pilot:
        await see(pilot, "0 of 0 usable")
        await press(pilot, "b")
        await see(pilot, "[2/5 choices]")
        await press(pilot, "down", "down", *"keyed", *["down"] * 2, "right")
        await see(pilot, "--compress=client-gzip")
        await press(pilot, "ctrl+y")
        previewed = _options(shlex.split(pilot.app.clipboard))
        await press(pilot, "enter")
        await see(pilot, "0 blockers", 30)
        await press(pilot, "enter")
        await see(pilot, "Take a backup on host")
        assert focused_label(pilot) == "Cancel"
        await press(pilot, "tab", "enter")
        await see(pilot, "TAKEN and VERIFIED.", 60)
        plan = find_run(None).plan()
        assert isinstance(plan, BackupPlan)
        executed = _options(plan.work.command)
        holes = {"--dbname", "--checkpoint"}  # what is known only when the server has been asked
        assert {name for name in executed if executed[name] != previewed[name]} == holes
        asked = conninfo_to_dict(executed["--dbname"])
        assert conninfo_to_dict(previewed["--dbname"]).items() <= asked.items()
        await press(pilot, "q")
        await see(pilot, "1 of 1 usable")
        await press(pilot, "enter", "j")
        await see(pilot, "keyed")
        (backup,) = bridge.backups("main")
        assert backup.path == str(sandbox.backups / "keyed")
        assert backup.compression == "gzip"
        await press(pilot, "v")
        await see(pilot, "WHOLE.", 30)
        await press(pilot, "q")
        await see(pilot, "✓ ok")


def _options(command: Sequence[str]) -> dict[str, str]:
    """Each option of a command with its value."""
    return {name: value for name, _, value in (word.partition("=") for word in command[1:])}


def test_age_of_the_last_change_needs_no_new_record() -> None:
    from pgrescue.tui.meter import rate_line

    view = snapshots.extracting()
    line = rate_line(view.state, snapshots.NOON + timedelta(seconds=75))
    assert line.endswith("last change 1:15 ago")
