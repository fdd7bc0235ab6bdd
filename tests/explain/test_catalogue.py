"""Every wording of the server's, checked against its own binary, is explained; advice is safe."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.explain.host import NoHost
from pgrescue.explain.rule import fill
from pgrescue.explain.rules import CATALOGUE
from pgrescue.explain.silence import SILENCES
from pgrescue.explain.translate import explain
from tests.explain.server_messages import SERVER_MESSAGES, ServerMessage
from tests.support.servers import further_directories

MAJORS = (12, 13, 14, 15, 16, 17, 18)
FORBIDDEN = re.compile(r"pg_resetwal|rm\b|(?:remov|delet|tak)\w* .*backup_label(?! where)")


@pytest.fixture(scope="module")
def texts(
    binaries_by_origin: Mapping[str, ServerBinaries],
) -> dict[int, bytes]:
    """The server binaries at hand, by major version."""
    directories = [binaries.bin_directory for binaries in binaries_by_origin.values()]
    found: dict[int, bytes] = {}
    for directory in (*further_directories(), *directories):
        content = (directory / "postgres").read_bytes()
        version = re.search(rb"PostgreSQL (\d+)[.\d]* ", content) or re.search(
            rb"\(PostgreSQL\) (\d+)", content
        )
        assert version is not None, directory
        found.setdefault(int(version[1]), content)
    return found


@pytest.mark.server
@pytest.mark.parametrize("major", MAJORS)
def test_the_wordings_are_the_servers_own(texts: dict[int, bytes], major: int) -> None:
    if major not in texts:
        pytest.skip(f"there are no binaries of PostgreSQL {major} here")
    content = texts[major]
    # A linker may let a text be the end of a longer one.
    missing = [
        message.format
        for message in SERVER_MESSAGES
        if message.first <= major <= message.last and message.format.encode() + b"\0" not in content
    ]
    assert not missing
    too_many = [
        message.format
        for message in SERVER_MESSAGES
        if not message.first <= major <= message.last
        and b"\0" + message.format.encode() + b"\0" in content
    ]
    assert not too_many, "these have other versions than the table says"


@pytest.mark.parametrize("message", SERVER_MESSAGES, ids=lambda message: message.format[:60])
def test_a_message_is_explained(message: ServerMessage) -> None:
    # Beside another failure: some are told only where something has failed.
    log = f"{message.line()}\n2026-11-22 20:53:40 UTC [1] FATAL:  something else\n"
    found = explain(log.splitlines(), NoHost())
    (explanation,) = [each for each in found if each.code != "unknown"]
    assert explanation.code == message.code
    assert explanation.cause
    assert explanation.next
    assert message.line().splitlines()[0].split("]  ")[-1][-20:] in explanation.evidence


def test_an_unknown_failure_is_said_to_be_unknown() -> None:
    log = ["2026-11-22 20:53:40 UTC [1] FATAL:  the moon is in the wrong phase"]
    (found,) = explain(log, NoHost())
    assert found.code == "unknown"
    assert "the moon is in the wrong phase" in found.title
    assert "Not known" in found.cause


def test_a_clients_refusal_is_no_failure_of_the_server() -> None:
    log = ['2026-11-22 20:53:40 UTC [1] FATAL:  role "nobody" does not exist']
    assert explain(log, NoHost()) == ()


def _advice() -> Iterator[tuple[str, str]]:
    for rule in (*CATALOGUE, *(rule for rule, _ in SILENCES)):
        for step in (rule.title, *rule.next):
            yield rule.code, step


def test_no_advice_destroys_anything() -> None:
    assert [(code, step) for code, step in _advice() if FORBIDDEN.search(step)] == []


def test_the_servers_own_advice_to_remove_backup_label_is_never_passed_on() -> None:
    log = [
        "2026-11-22 21:11:57.275 UTC [17643] FATAL:  could not locate required checkpoint record",
        '2026-11-22 21:11:57.275 UTC [17643] HINT:  If you are restoring from a backup, touch "/srv'
        '/d/recovery.signal" and add required recovery options.',
        '\tIf you are not restoring from a backup, try removing the file "/srv/d/backup_label".',
    ]
    (found,) = explain(log, NoHost())
    told = " ".join((found.title, found.cause, found.evidence, *found.next))
    assert "try removing" not in told
    assert "leave backup_label where it is" in told


@pytest.mark.parametrize("name", ["$(touch pwned)", "'; touch pwned #", "a b", "-rf", "x\ntouch y"])
def test_a_name_cannot_become_a_command(name: str) -> None:
    for code, step in _advice():
        for quoted in re.findall(r"\{(\w+)!q\}", step):
            filled = fill(f"{{{quoted}!q}}", {quoted: name})
            assert shlex.split(filled) == [name], code
    assert fill("cat {data!q}", {}) == "cat DATA_DIRECTORY"


def test_commands_quote_every_fact() -> None:
    """In a step that is a command, nothing that a log named stands unquoted."""
    commands = ("chmod", "chown", "ls", "mv", "touch", "ps", "df", "install", "sudo", "{bin")
    for code, step in _advice():
        if not step.startswith(commands):
            continue
        command, _, _ = step.partition("   (")
        unquoted = set(re.findall(r"\{(\w+)\}", command)) - {"file", "pid", "data", "again"}
        assert not unquoted, f"{code}: {step}"


def test_codes_are_names_and_each_is_one_failure() -> None:
    codes = [rule.code for rule in (*CATALOGUE, *(rule for rule, _ in SILENCES))]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(?:_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (
            "disk_full",
            'x [1] FATAL:  could not write to file "pg_wal/xlogtemp.1": No space left on device',
        ),
        (
            "disk_full",
            'x [1] PANIC:  could not write to file "pg_wal/xlogtemp.1": Disk quota exceeded',
        ),
        ("disk_full", "cp: error writing 'pg_wal/RECOVERYXLOG': No space left on device"),
        ("disk_full", "tar: base/16385/3574: Cannot write: No space left on device"),
        (
            "no_room_for_backup",
            'pg_basebackup: error: could not write to file "b/base.tar": No space left on device',
        ),
    ],
)
def test_a_full_disk_is_known_whoever_says_so(code: str, line: str) -> None:
    (found,) = explain([line], NoHost())
    assert found.code == code
    assert "PATH" not in found.cause
