"""The keys of the screens about the past: the timeline and the incidents, and the ways there."""

from __future__ import annotations

from pgrescue.tui.key import Key

_MAP = ("timeline",)
_LIST = ("incidents",)
_BOTH = ("timeline", "incidents")


def _move(action: str, keys: str, shown: str, label: str, words: str) -> Key:
    return Key(action, keys, shown, label, words, _MAP, footer=False)


WAYS_THERE: tuple[Key, ...] = (
    Key(
        "timeline",
        "w",
        "w",
        "WAL timeline",
        "The map of the WAL: what can be reached, what is missing, what was destroyed when.",
        ("overview", "catalog"),
    ),
    Key(
        "timeline",
        "f3",
        "f3",
        "timeline",
        "Choose the target on the map of the WAL.",
        ("target",),
    ),
    Key(
        "incidents",
        "i",
        "i",
        "incidents",
        "Search the WAL for transactions that destroyed data, to restore to just before one.",
        ("overview", "catalog"),
        footer=False,
    ),
)

HISTORY_KEYS: tuple[Key, ...] = (
    Key(
        "open",
        "enter",
        "enter",
        "restore to here",
        "Take the cursor's position as the target: recovery stops just before it. Nothing is done "
        "before you have confirmed a plan.",
        _MAP,
    ),
    Key(
        "open",
        "enter",
        "enter",
        "restore to before it",
        "Take 'just before this transaction' as the target. Nothing is done before you have "
        "confirmed a plan.",
        _LIST,
    ),
    Key(
        "timeline",
        "w",
        "w",
        "on the map",
        "Show the incident under the cursor on the map of the WAL.",
        _LIST,
    ),
    Key(
        "zoom(1)",
        "plus,equals_sign",
        "+ -",
        "zoom",
        "Closer to the cursor.",
        _MAP,
    ),
    _move("zoom(-1)", "minus,underscore", "-", "zoom out", "Further away."),
    _move("whole", "0", "0", "whole", "Show the whole archive."),
    _move("column(-1)", "left,h", "left", "left", "One column to the left."),
    _move("column(1)", "right,l", "right", "right", "One column to the right."),
    _move("segment(-1)", "left_square_bracket", "[", "segment back", "To the segment before."),
    _move("segment(1)", "right_square_bracket", "]", "next segment", "To the next segment."),
    _move("commit(-1)", "comma", ",", "commit back", "To the commit before, exactly."),
    _move("commit(1)", "full_stop", ".", "next commit", "To the next commit, exactly."),
    _move("lane(-1)", "up,k", "up", "lane up", "To the timeline above."),
    _move("lane(1)", "down,j", "down", "lane down", "To the timeline below."),
    _move("end(False)", "home,g", "home", "beginning", "To the beginning of this timeline."),
    _move("end(True)", "end,G", "end", "end", "To the end of this timeline."),
    Key(
        "incident(1)",
        "n",
        "n",
        "incident",
        "To the next incident, once they have been searched for (i).",
        _MAP,
        footer=False,
    ),
    _move("incident(-1)", "N", "N", "incident back", "To the incident before."),
    _move("backup", "slash,b", "b", "next backup", "To the end of the next backup."),
    Key(
        "time",
        "t",
        "t",
        "time",
        "Type a time and go to the first commit after it.",
        _MAP,
    ),
    Key(
        "incidents",
        "i",
        "i",
        "incidents",
        "Search the WAL for transactions that destroyed data.",
        _MAP,
    ),
    Key("refresh", "r,R", "r", "refresh", "Read the archive's names again.", _MAP, footer=False),
    Key("refresh", "r,R", "r", "search again", "Search the WAL again.", _LIST, footer=False),
    Key(
        "explain",
        "e",
        "e",
        "explain",
        "Explain what is under the cursor, and the command line that does the same.",
        _BOTH,
        footer=False,
    ),
    Key("help", "question_mark,f1", "?", "help", "This list of keys.", _BOTH),
    Key(
        "palette",
        "colon,ctrl+p",
        ":",
        "more",
        "Find an action by its name.",
        _BOTH,
        footer=False,
        palette=False,
    ),
    Key("back", "q,escape", "q", "back", "Go back.", _MAP, palette=False),
    Key(
        "back",
        "q,escape",
        "q",
        "back",
        "Go back; a search that is not finished is given up.",
        _LIST,
        palette=False,
    ),
)
