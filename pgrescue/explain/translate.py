"""A whole log explained: what failed, most recent first, causes before what follows from them.

What failed in a start after which the server has come up is told last, and for what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pgrescue.explain.course import course_of
from pgrescue.explain.host import Host
from pgrescue.explain.message import Explanation, Message, ServerStart
from pgrescue.explain.read_log import read_messages, split_starts
from pgrescue.explain.rule import EXAMINED, OPENED_UNCHANGED, RECOVERY_UNCHANGED, Rule, quote_all
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
_REDO = re.compile(r"redo starts at ([0-9A-F]+/[0-9A-F]+)")
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")
_OF_A_SERVER = re.compile(r"\[\d+\][^\[\]]*?\b[^\W\d_]+:  \S")
"""Behind the number of a process: how grave it is, a colon, two blanks."""
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
"""By a rule's code: what is known, and the messages that tell it."""
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
    """What looks like a server's messages, and does not say in English how grave it is."""
    strange = [
        each
        for each in messages
        if each.level == "OUTPUT" and _OF_A_SERVER.search(each.text[:EXAMINED])
    ]
    if strange:
        yield Explanation(
            code="not_understood",
            title="These messages could not be read, and nothing is known from them.",
            cause="They look like a server's, in another language or format; known are English "
            "texts, as text, CSV or JSON.",
            evidence="\n".join(quote_all(strange)),
            unchanged=RECOVERY_UNCHANGED,
            next=("read it by eye; for the next start set lc_messages = 'C'",),
            weight="note",
            line=strange[0].number,
        )


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
    return replace(explanation, cause=f"{explanation.cause}{more}.")


def _explain_start(start: ServerStart, host: Host) -> list[Explanation]:
    context = _context(start, host)
    groups: _Groups = {}
    unknown: dict[str, list[Message]] = {}
    source: dict[str, str] = {}
    course: ServerStart | None = None
    holds: dict[tuple[str, str], bool] = {}
    alone = all(message.level in ("TOOL", "OUTPUT") for message in start.messages)
    for message in start.messages:
        if named := _RESTORED.match(message.text):
            source["restored"] = named[1]
        elif named := _HISTORY.match(message.text):
            source["followed"] = str(int(named[1], 16))
        if message.is_fatal and message.text.startswith(CLIENT_FATALS) and not _is_known(message):
            continue
        for rule in CATALOGUE:
            facts = rule.facts_of(message)
            if facts is not None and rule.holds:
                key = (rule.code, message.text)
                if key not in holds:
                    course = course or course_of(start)
                    holds[key] = rule.holds(course, message)
                if not holds[key]:
                    break
            if facts is not None:
                _keep(groups, rule, {**context, **source, **facts}, message)
                break
        else:
            if message.is_fatal or _is_a_tools_failure(message, alone=alone):
                unknown.setdefault(message.text, []).append(message)
    found = [_weighed_unknown(messages, start) for messages in unknown.values()]
    found += silent_failures(start, context, host)
    told = [
        rule.explain(messages, facts, host, start)
        for rule, facts, messages in groups.values()
        if not rule.only_with_failure
    ]
    if any(each.weight != "note" for each in (*found, *told)):
        told += [
            rule.explain(messages, facts, host, start)
            for rule, facts, messages in groups.values()
            if rule.only_with_failure
        ]
    return _ordered([*found, *told])


def _is_a_tools_failure(message: Message, *, alone: bool) -> bool:
    """`alone`: there is no server's message beside it, of which it would be a part."""
    pattern = {"TOOL": _UNEXPLAINED_TOOL, "OUTPUT": _OTHER_TOOL if alone else None}.get(
        message.level
    )
    return pattern is not None and bool(pattern.search(message.text[:EXAMINED]))


def _keep(groups: _Groups, rule: Rule, facts: dict[str, str], message: Message) -> None:
    """Keep a message with the others of its kind; a later one may name what the first did not."""
    _, known, messages = groups.setdefault(rule.code, (rule, facts, []))
    messages.append(message)
    for name, value in facts.items():
        known.setdefault(name, value)


def _weighed_unknown(messages: list[Message], start: ServerStart) -> Explanation:
    """Of a server that answers, the end of one session or worker is no failure of the server."""
    found, opened, last = _unknown(messages, start), start.ready, messages[-1]
    if opened is None or last.level != "FATAL" or last.pid is None:
        return found
    servers = {opened.pid, *(each.pid for each in course_of(start).messages)}
    others = messages[0].number > opened.number and not any(m.pid in servers for m in messages)
    return replace(found, weight="note") if others else found


def _is_known(message: Message) -> bool:
    return any(rule.facts_of(message) is not None for rule in CATALOGUE)


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
