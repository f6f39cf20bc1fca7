"""The real server as a process on a free port, driven through the real command line."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

READY = re.compile(r"farnear: serving on (\S+)")
METRICS = re.compile(r"farnear: metrics on (\S+)")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The standard output, parsed, of a command that must have succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out)


def farnear(*arguments: str | Path, stdin: bytes | None = None, address: str | None = None) -> Outcome:
    """Runs one `farnear` command to its end."""
    environment = os.environ | ({} if address is None else {"FARNEAR_ADDRESS": address})
    done = subprocess.run(
        [sys.executable, "-m", "farnear", *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        env=environment,
        timeout=240,
        check=False,
    )
    return Outcome(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


class Server:
    """A `farnear serve` process that is ready to answer."""

    def __init__(self, data: Path, bundles: Sequence[str] = (), *options: str) -> None:
        self.log = data.with_suffix(".log")
        command = [sys.executable, "-m", "farnear", "serve", "--data", str(data)]
        command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
        command += [word for bundle in bundles for word in ("--bundle", bundle)]
        command += options
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        self.metrics_url = ""
        for line in self.process.stdout:
            if match := METRICS.match(line):
                self.metrics_url = match[1]
            if match := READY.match(line):
                self.address = match[1]
                return
        self.stop(signal.SIGKILL)
        raise AssertionError(f"the server ended before it was ready: {self.log.read_text()}")

    def run(self, *arguments: str | Path, stdin: bytes | None = None) -> Outcome:
        """Runs a client command against this server."""
        return farnear(*arguments, stdin=stdin, address=self.address)

    def metric(self, series: str) -> float:
        """The value of one series of the server's metrics, 0 while it is not there."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as response:
            lines = response.read().decode().splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(series)), 0.0)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers and ends, at the latest after the test, every one of them."""
    servers: list[Server] = []

    def begin(data: Path, bundles: Sequence[str] = (), *options: str) -> Server:
        server = Server(data, bundles, *options)
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.stop(signal.SIGKILL)
