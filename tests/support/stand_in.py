"""A process that looks like Patroni from outside: command line, configuration, REST API, file.

It manages nothing. Tests that need the real one are in `tests/managers/test_real_patroni.py`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from pgrescue.demo.processes import wait_until

SCOPE = "demo"
CONFIGURATION = """\
scope: {scope}
name: n1

restapi:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}

bootstrap:
  dcs:
    postgresql:
      parameters:
        max_connections: 100

postgresql:
  listen: 127.0.0.1:5432
  data_dir: "{data}"  # where PostgreSQL is
  parameters:
    unix_socket_directories: /tmp
"""
_PROGRAM = '''\
"""Answers GET /patroni with a file, as Patroni does by its status."""
import http.server, pathlib, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = pathlib.Path(sys.argv[1]).with_name("answer.json").read_bytes()
        self.send_response(200 if self.path == "/patroni" else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Answer).serve_forever()
'''


class StandIn:
    """`patroni FILE` for a data directory; unpaused at first."""

    def __init__(self, directory: Path, data: Path, *, asked_by_rest: bool = True) -> None:
        """`asked_by_rest`: whether its configuration tells where its REST API listens."""
        self._data = data
        directory.mkdir()
        self.configuration = directory / "patroni.yml"
        program = directory / "patroni"
        program.write_text(_PROGRAM)
        port = _free_port()
        text = CONFIGURATION.format(scope=SCOPE, port=port, data=data)
        if not asked_by_rest:
            text = text.replace("restapi:", "nothing:")
        self.configuration.write_text(text)
        self._answer = directory / "answer.json"
        self.resume()
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(self.configuration), str(port)],
            cwd=directory,
        )
        wait_until(lambda: _listens(port), "the stand-in for Patroni")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def pause(self) -> None:
        """What `patronictl pause --wait` comes to."""
        self._say({"pause": True})

    def resume(self) -> None:
        """What `patronictl resume --wait` comes to."""
        self._say({})

    def end(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()

    def _say(self, more: dict[str, Any]) -> None:
        about = {"version": "4.1.5", "scope": SCOPE, "name": "n1"}
        answer = {"state": "running", "role": "primary", **more, "patroni": about}
        self._answer.write_text(json.dumps(answer))
        if self._data.is_dir():
            dynamic = {"ttl": 30, "loop_wait": 10, **more}
            (self._data / "patroni.dynamic.json").write_text(json.dumps(dynamic))


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
