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


def test_nor_in_another_language() -> None:
    prefix = "2026-11-22 21:11:57.275 UTC [17643] "
    hint = [
        f"{prefix}TIPP:  Wenn Sie gerade ein Backup wiederherstellen, dann erzeugen Sie die Datei.",
        "\tWenn Sie gerade kein Backup wiederherstellen, dann versuchen Sie, die Datei "
        "»/srv/d/backup_label« zu entfernen.",
    ]
    first, second = f"{prefix}ANWEISUNG:  eins", f"{prefix}ANWEISUNG:  zwei"
    log = [f"{prefix}FATAL:  konnte den nötigen Checkpoint-Datensatz nicht finden", *hint]
    for lines in (log, [*log, first, "\tund mehr", second]):
        found = {each.code: each for each in explain(lines, NoHost())}
        strange = found["not_understood"]
        assert "entfernen" not in repr(found)
        assert "line 2" in strange.evidence
        assert any(step.startswith("leave backup_label where it is") for step in strange.next)
    assert f"line 4: {first}\n" in strange.evidence
    assert "und mehr" not in strange.evidence


@pytest.mark.parametrize(
    "starting", ["starte PostgreSQL", "démarrage de PostgreSQL", "iniciando PostgreSQL"]
)
def test_starts_in_other_languages_are_told_apart(starting: str) -> None:
    log = [f"x [1] LOG:  {starting} 15.8", "x [1] FATAL:  a", f"x [2] LOG:  {starting} 15.8"]
    assert [each.start for each in explain([*log, "x [2] FATAL:  b"], NoHost())] == [2, 1]


@pytest.mark.parametrize(
    ("line", "code", "place"),
    [
        (
            'x [1] FATAL:  could not open file "/srv/d/global/pg_control": Permission denied',
            "access_denied",
            "/srv/d/global/pg_control",
        ),
        (
            'x [1] FATAL:  could not open file "pg_wal/00000002.history": Permission denied',
            "access_denied",
            "DATA_DIRECTORY/pg_wal/00000002.history",
        ),
        (
            'x [1] FATAL:  could not create lock file "postmaster.pid": Permission denied',
            "access_denied",
            "DATA_DIRECTORY",
        ),
        (
            'x [1] FATAL:  could not create file "pg_wal/xlogtemp.1": Permission denied',
            "access_denied",
            "DATA_DIRECTORY/pg_wal",
        ),
        (
            'postgres: could not access directory "/srv/d": Permission denied',
            "access_denied",
            "/srv/d",
        ),
        (
            'x [1] FATAL:  could not create lock file "/run/pg/.s.PGSQL.5432.lock": Permission '
            "denied",
            "address_not_here",
            "/run/pg",
        ),
        (
            'pg_basebackup: error: could not create directory "/backups/x": Permission denied',
            "tool_access_denied",
            "/backups/x",
        ),
        (
            'pg_verifybackup: error: could not open file "/b/x/base/1/1259": Permission denied',
            "tool_access_denied",
            "/b/x/base/1/1259",
        ),
    ],
)
def test_who_may_not_use_what(line: str, code: str, place: str) -> None:
    (found,) = explain([line], NoHost())
    assert found.code == code
    assert re.search(rf"{re.escape(place)}\b(?!/)", found.title)
    chown = [shlex.split(step)[3] for step in found.next if step.startswith("chown -R")]
    assert chown == ([place] if code == "access_denied" else [])
    again = any("start the server again" in step for step in found.next)
    assert again is not code.startswith("tool")


@pytest.mark.parametrize("words", ["log file", "log segment", "WAL segment"])
def test_a_full_disk_below_pg_wal(words: str) -> None:
    line = (
        f"x [1] PANIC:  could not write to {words} 000000010000000000000005 at offset 0, length "
        "8192: No space left on device"
    )
    (found,) = explain([line], NoHost())
    assert found.code == "disk_of_wal_full"
    assert "000000010000000000000005" in found.cause


def test_each_text_of_a_failure_is_quoted_up_to_ten() -> None:
    unknown = 'x [1] LOG:  unrecognized configuration parameter "{}" in file "/c" line 3'
    lines = [unknown.format(f"p{number}") for number in range(12)]
    (found,) = explain([*lines, lines[0]], NoHost())
    quoted = found.evidence.splitlines()
    assert [line.split('"')[1] for line in quoted[:-1]] == [f"p{number}" for number in range(10)]
    assert quoted[-1] == "13 times, at last in line 13"
    (found,) = explain(lines[:2], NoHost())
    assert len(found.evidence.splitlines()) == 2


def test_what_is_wrong_with_a_value_is_said_of_that_setting() -> None:
    invalid = 'x [1] LOG:  invalid value for parameter "{}": "x"'
    names = ("lc_messages", "lc_time", "work_mem", "recovery_target_time")
    locale, other, time = explain([invalid.format(name) for name in names], NoHost())
    assert (locale.code, other.code, time.code) == (
        "invalid_locale",
        "invalid_setting",
        "invalid_target_time",
    )
    assert all(name in locale.evidence for name in names[:2])
    assert any("locale -a" in step for step in locale.next)
    assert any("'C'" in step for step in locale.next)
    assert ["numeric offset" in each.cause for each in (locale, other, time)] == [
        False,
        False,
        True,
    ]
