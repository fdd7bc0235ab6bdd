"""A whole log explained: what failed, most recent first, causes before what follows from them.

What failed in a start after which the server has come up is told last, and for what it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pgrescue.explain.course import course_of, ends_of_sessions
from pgrescue.explain.host import Host
from pgrescue.explain.message import LSN, Explanation, Message, ServerStart
from pgrescue.explain.read_log import read_messages, split_starts
from pgrescue.explain.rule import (
    EXAMINED,
    GOES_ON,
    OPENED_UNCHANGED,
    RECOVERY_UNCHANGED,
    Rule,
    quote_all,
)
from pgrescue.explain.rules import CATALOGUE
from pgrescue.explain.silence import silent_failures
from pgrescue.postgres.secrets import without_passwords
from pgrescue.postgres.server_log import CLIENT_FATALS
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE, SegmentId

_SEGMENT = re.compile(r"\b[0-9A-F]{24}\b")
_RESTORED = re.compile(r'restored log file "([0-9A-F]{24})" from archive')
_TARGET = re.compile(r"starting point-in-time recovery to (.*)")
_LAST_COMMIT = re.compile(r"last completed transaction was at log time (.*)")
_HISTORY = re.compile(r'restored log file "([0-9A-F]{8})\.history" from archive')
_REDO = re.compile(rf"redo starts at ({LSN})")
_REDO_DONE = re.compile(rf"redo done at ({LSN})")
_OF_A_SERVER = re.compile(r"\[\d+\][^\[\]]*?\b[^\W\d_]+:  \S")
"""Behind the number of a process: how grave it is, a colon, two blanks."""
_MAY_BE_A_HINT = re.compile(r"backup_label|recovery\.signal")
_UNEXPLAINED_TOOL = re.compile(r"(?:error|fatal): ")
_OTHER_TOOL = re.compile(
    r"^(?:[\w./-]+:? )?(?:error|fatal|critical)\b(?: \d+)? ?:|\b(?:ERROR|FATAL|CRITICAL): \S"
    r"|^(?:\w+\.)*\w*(?:Error|Exception): ",
    re.IGNORECASE,
)
"""How tools that are not PostgreSQL's say that they have failed."""
_SYMPTOMS = {
    "target_not_reached": None,
    "wal_does_not_fit": ("checkpoint_wal_missing", "timeline_not_a_child"),
    "not_wal": ("checkpoint_wal_missing",),
    "target_before_backup": ("target_before_consistency",),
}
"""What another failure of the same start explains: one of these, or (None) any."""
_FORCED = frozenset(
    {
        "backup_label_contradicts",
        "backup_label_invalid",
        "backup_was_cancelled",
        "checkpoint_wal_missing",
        "control_file_damaged",
        "invalid_pages",
        "no_valid_checkpoint",
        "redo_wal_missing",
        "wal_ends_before_backup_end",
        "wal_ends_before_consistency",
        "wal_level_minimal",
        "wrong_branch_mixed_in",
    }
)
"""After these a server that starts may have been made to, with data that is silently wrong."""
_Groups = dict[str, tuple[Rule, dict[str, str], list[Message]]]
"""By a rule's code, or by that and a text: what is known, and the messages that tell it."""
_ORDER = {"failure": 0, "consequence": 1, "note": 2}


def explain(lines: Iterable[str], host: Host) -> tuple[Explanation, ...]:
    """Everything in a log that is known to be a failure, or not known; nothing is made up."""
    messages = list(read_messages(lines))
    starts = split_starts(messages)
    found: list[Explanation] = list(_not_understood(messages))
    over: list[Explanation] = []
    since: Message | None = None
    for start in reversed(starts):
        for each in _explain_start(start, host):
            if since is None or each.weight == "note":
                found.append(each)
            elif start.failed and each.code not in _FORCED:
                over.append(_over(each, since))
            else:
                found.append(_started_since(each, since))
        since = start.ready or since
    return tuple(_without_passwords(each) for each in (*found, *over))


def _without_passwords(explanation: Explanation) -> Explanation:
    """Logs and settings quote commands, and a command may have a password spelled out."""
    return replace(
        explanation,
        title=without_passwords(explanation.title),
        cause=without_passwords(explanation.cause),
        evidence=without_passwords(explanation.evidence),
        next=tuple(without_passwords(step) for step in explanation.next),
    )


def _not_understood(messages: Sequence[Message]) -> Iterator[Explanation]:
    """What looks like a server's messages, and does not say in English how grave it is.

    A hint of the server's may be among them, and those ask to remove backup_label.
    """
    strange = [
        each
        for each in messages
        if each.level == "OUTPUT" and _OF_A_SERVER.search(each.text[:EXAMINED])
    ]
    if strange:
        shown = [each for each in strange if not _MAY_BE_A_HINT.search(each.text)]
        hidden = [each.number for each in strange if _MAY_BE_A_HINT.search(each.text)]
        evidence = [] if not shown else [replace(shown[0], text=_first_line(shown[0])).quoted()]
        if hidden:
            # Quoted, it would be advice that nobody here can read before passing it on.
            evidence.append(f"line {hidden[0]} speaks of backup_label or recovery.signal")
        if len(strange) > len(evidence):
            evidence.append(f"{len(strange)} such lines, the last of them {strange[-1].number}")
        yield Explanation(
            code="not_understood",
            title="These messages could not be read, and nothing is known from them.",
            cause="They look like a server's, in another language or format; known are English "
            "texts, as text, CSV or JSON.",
            evidence="\n".join(evidence),
            unchanged=RECOVERY_UNCHANGED,
            next=(
                "read it by eye; for the next start set lc_messages = 'C'",
                "leave backup_label where it is, whatever a hint says: without it a restored "
                "cluster would be silently corrupt",
            ),
            weight="note",
            line=strange[0].number,
        )


def _first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


def _over(explanation: Explanation, since: Message) -> Explanation:
    """The failure of a start after which another one did not fail."""
    return replace(
        explanation,
        title=f"An earlier start failed; the server has started since, at line {since.number}: "
        f"{explanation.title}",
        next=("nothing to do, if the server that has started is the one that was wanted",),
        weight="note",
    )


def _started_since(explanation: Explanation, since: Message) -> Explanation:
    """What another start does not mend, or need not have mended."""
    more = f" The server has started since, at line {since.number}"
    if explanation.code in _FORCED:
        more += "; make sure that nobody forced it (pg_resetwal, a backup_label taken away)"
    elif explanation.unchanged == OPENED_UNCHANGED:
        more += "; that alone mends nothing of this"
    # What would start it again is over.
    steps = tuple(step for step in explanation.next if not step.endswith(GOES_ON))
    return replace(explanation, cause=f"{explanation.cause}{more}.", next=steps)


def _explain_start(start: ServerStart, host: Host) -> list[Explanation]:
    context, course = _context(start, host), course_of(start)
    groups, unknown = _told_and_unknown(start, course, context)
    sessions = ends_of_sessions(course)
    found = [_weighed_unknown(messages, start, sessions) for messages in unknown.values()]
    found += silent_failures(start, context, host)
    told: list[Explanation] = []
    with_failure: list[tuple[Message, Explanation]] = []
    for rule, facts, messages in groups.values():
        explanation = rule.explain(messages, facts, host, start)
        if rule.only_with_failure:
            with_failure.append((messages[-1], explanation))
        else:
            told.append(explanation)
    failures = [each for each in (*found, *told) if each.weight != "note"]
    beside = [
        explanation
        for last, explanation in with_failure
        if any(not _came_up_between(start, last, failure) for failure in failures)
    ]
    return _ordered([*found, *told, *beside])


def _told_and_unknown(
    start: ServerStart, course: ServerStart, context: Mapping[str, str]
) -> tuple[_Groups, dict[str, list[Message]]]:
    """What the catalogue knows of a start, and by their texts the failures that it does not."""
    groups: _Groups = {}
    held: _Groups = {}
    unknown: dict[str, list[Message]] = {}
    source: dict[str, str] = {}
    alone = all(message.level in ("TOOL", "OUTPUT") for message in start.messages)
    for message in start.messages:
        source.update(_source(message))
        rule, facts = _rule_of(message, alone=alone)
        if rule is None:
            if _is_a_failure(message, alone=alone):
                unknown.setdefault(message.text, []).append(message)
            continue
        known = {**context, **source, **facts}
        if rule.holds is None:
            _keep(groups, rule.code, rule, known, message)
        else:
            _keep(held, f"{rule.code} {message.text}", rule, known, message)
    for rule, known, messages in held.values():
        if rule.holds is not None and rule.holds(course, messages):
            for message in messages:
                _keep(groups, rule.code, rule, known, message)
    for _, _, messages in groups.values():
        messages.sort(key=lambda message: message.number)
    return groups, unknown


def _source(message: Message) -> dict[str, str]:
    """What was fetched last, from which timeline."""
    if named := _RESTORED.match(message.text):
        return {"restored": named[1]}
    if named := _HISTORY.match(message.text):
        return {"followed": str(int(named[1], 16))}
    return {}


def _rule_of(message: Message, *, alone: bool) -> tuple[Rule | None, dict[str, str]]:
    for rule in CATALOGUE:
        if not (alone and rule.beside_server):
            facts = rule.facts_of(message)
            if facts is not None:
                return rule, facts
    return None, {}


def _came_up_between(start: ServerStart, last: Message, failure: Explanation) -> bool:
    """Whether the server answered after a message, and failed at something only then."""
    ready = start.ready
    return ready is not None and last.number < ready.number < (failure.line or 0)


def _is_a_failure(message: Message, *, alone: bool) -> bool:
    """Of what nobody knows. `alone`: no server's message is beside it, of which it would be a part.

    What ended a client's connection has ended nothing else.
    """
    if message.is_fatal:
        return not message.text.startswith(CLIENT_FATALS)
    pattern = {"TOOL": _UNEXPLAINED_TOOL, "OUTPUT": _OTHER_TOOL if alone else None}.get(
        message.level
    )
    return pattern is not None and bool(pattern.search(message.text[:EXAMINED]))


def _keep(groups: _Groups, key: str, rule: Rule, facts: dict[str, str], message: Message) -> None:
    """Keep a message with the others of its kind; a later one may name what the first did not."""
    _, known, messages = groups.setdefault(key, (rule, facts, []))
    messages.append(message)
    for name, value in facts.items():
        known.setdefault(name, value)


def _weighed_unknown(
    messages: list[Message], start: ServerStart, sessions: Collection[int]
) -> Explanation:
    """Of a server that answers, the end of one session or worker is no failure of the server."""
    found = _unknown(messages, start)
    if all(message.number in sessions for message in messages):
        return replace(found, weight="note")
    return found


def _ordered(found: Sequence[Explanation]) -> list[Explanation]:
    """Causes first, each kind in the order of the log; "it failed" only where nothing says why."""
    if any(each.weight == "failure" for each in found):
        found = [each for each in found if each.weight != "consequence"]
    weighed = [_weighed(each, found) for each in found]
    return sorted(weighed, key=lambda each: (_ORDER[each.weight], each.line or 0))


def _weighed(explanation: Explanation, all_found: Sequence[Explanation]) -> Explanation:
    """A failure that another one explains is a consequence of it."""
    if explanation.code not in _SYMPTOMS:
        return explanation
    causes = _SYMPTOMS[explanation.code]
    others = [
        other
        for other in all_found
        if other.weight == "failure"
        and (other.code in causes if causes else other.code not in _SYMPTOMS)
    ]
    return replace(explanation, weight="consequence") if others else explanation


def _context(start: ServerStart, host: Host) -> dict[str, str]:
    """What the messages before a failure tell about it."""
    facts = {"target": "", "last_commit": "a time that the log does not say", "asked": "not named"}
    restored, ended = "", False
    for message in start.messages:
        text = message.text
        if found := _TARGET.match(text):
            facts["target"] = f", {found[1]}"
        elif found := _LAST_COMMIT.match(text):
            facts["last_commit"] = found[1]
        elif found := _REDO.match(text):
            facts["redo_from"] = found[1]
        elif found := _REDO_DONE.match(text):
            facts["redo_to"] = found[1]
            ended = True  # the last segment is fetched once more, to be finished
        elif (found := _RESTORED.match(text)) and not ended:
            restored = found[1]
            facts.pop("file", None)
        elif message.level == "OUTPUT" and (found := _SEGMENT.search(text)):
            facts["file"] = found[0]
    if "file" not in facts and restored:
        # A command that says nothing: what the server asks for next is known all the same.
        facts["file"] = _next_segment(restored, host)
    if "file" in facts:
        facts["asked"] = facts["file"]
    return facts


def _next_segment(name: str, host: Host) -> str:
    control = host.control()
    size = control.wal_segment_size if control else DEFAULT_SEGMENT_SIZE
    segment = SegmentId.parse(name, size)
    return replace(segment, number=segment.number + 1).name(size)


def _unknown(messages: Sequence[Message], start: ServerStart) -> Explanation:
    return Explanation(
        code="unknown",
        title=f"A failure that pgrescue does not know: {messages[0].text}",
        cause="Not known. The message is the server's or the tool's own.",
        evidence="\n".join(quote_all(messages)),
        unchanged=RECOVERY_UNCHANGED,
        next=(
            "read the lines before it in the log",
            "if the messages are not English: lc_messages = 'C' in postgresql.auto.conf, and "
            "start again",
            "pgrescue status   if this was a run of pgrescue: undo and resume go on from there",
        ),
        line=messages[0].number,
        start=start.number,
    )
