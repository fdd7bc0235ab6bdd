"""Which executor does which step. A test holds this equal to the planner's steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pgrescue.run.deletion import delete_old
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.configure import complete, configure, tidy
from pgrescue.run.executors.extract import combine, extract
from pgrescue.run.executors.held_wal import stop_server
from pgrescue.run.executors.replay import replay
from pgrescue.run.executors.rescue import rescue_wal
from pgrescue.run.executors.reseed import own_configuration, receive, stream
from pgrescue.run.executors.service import start
from pgrescue.run.executors.verify import promote, verify
from pgrescue.run.executors.wal import place_wal
from pgrescue.run.old_data import set_aside

Executor = Callable[[RestoreExecution], str]

EXECUTORS: Mapping[str, Executor] = {
    "stop": stop_server,
    "rescue_wal": rescue_wal,
    "set_aside": set_aside,
    "extract": extract,
    "combine": combine,
    "place_wal": place_wal,
    "configure": configure,
    "complete": complete,
    "start": start,
    "replay": replay,
    "verify": verify,
    "promote": promote,
    "tidy": tidy,
    "delete_old": delete_old,
    "receive": receive,
    "own_configuration": own_configuration,
    "stream": stream,
}
