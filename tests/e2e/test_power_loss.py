"""No acknowledgement leaves before its commit is on disk, so what was acknowledged survives a loss of power.

The system calls of a real server are traced. Before the id of an item goes out to the client it must have been written
to the write-ahead log, and a sync of the log that began after that must have returned.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import farnear
import pytest

from tests.e2e.conftest import READY

LOG = "farnear.db-wal>"
KINDS = ("single", "batch", "group")

SERVE = "import sys; from farnear.__main__ import main; sys.exit(main())"

# The same with an SQLite that is told not to sync.
SERVE_CARELESSLY = f"""
import sqlite3

class Careless(sqlite3.Connection):
    def execute(self, statement, *parameters):
        return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *parameters)

connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Careless, **options)
{SERVE}
"""


@dataclass(frozen=True)
class Call:
    """A system call: on which lines of the trace it began and ended."""

    text: str
    began: int
    ended: int


def calls_in(trace: Sequence[str]) -> Iterator[Call]:
    """The calls of a trace by strace, in order of their ends."""
    unfinished: dict[str, Call] = {}
    for number, line in enumerate(trace):
        thread, _, text = line.partition(" ")
        text = text.lstrip()
        if text.endswith(" <unfinished ...>"):
            unfinished[thread] = Call(text.removesuffix(" <unfinished ...>"), number, len(trace))
        elif resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            first = unfinished.pop(thread)
            yield Call(first.text + resumed[1], first.began, number)
        else:
            yield Call(text, number, number)
    yield from unfinished.values()


@dataclass(frozen=True)
class Acknowledgement:
    """The sync that put the commit of one id on disk, and whether the id went out before that had returned."""

    sync: Call | None
    is_late: bool


def acknowledgements(trace: Sequence[str], ids: Sequence[str]) -> dict[str, Acknowledgement]:
    """For each id, whether its acknowledgement waited for its commit. All of them must be in the log and in an answer.

    One transaction at a time is written, and synced as a whole: the first sync that begins after an id is in the log is
    that of its commit.
    """
    calls = list(calls_in(trace))
    writes = [call for call in calls if call.text.startswith("pwrite64") and LOG in call.text]
    syncs = [call for call in calls if call.text.startswith(("fdatasync", "fsync")) and LOG in call.text]
    sends = [
        call
        for call in calls
        if call.text.startswith(("sendmsg", "sendto", "write", "writev")) and "<socket" in call.text
    ]
    found = {}
    for item_id in ids:
        written = next(call for call in writes if item_id in call.text)
        sent = min(call.began for call in sends if item_id in call.text)
        sync = next((call for call in syncs if call.began > written.ended), None)
        found[item_id] = Acknowledgement(sync, sync is None or not sync.text.endswith("= 0") or sync.ended > sent)
    return found


def test_an_acknowledgement_that_does_not_wait_is_noticed() -> None:
    trace = [
        '7 pwrite64(8</d/farnear.db-wal>, "..ack-1..", 4096, 0) = 4096',
        "7 fdatasync(8</d/farnear.db-wal> <unfinished ...>",
        '9 sendmsg(5<socket:[1]>, {"ack-1"}) = 9',
        "7 <... fdatasync resumed>)              = 0",
        '9 sendmsg(5<socket:[1]>, {"ack-1"}) = 9',
        '7 pwrite64(8</d/farnear.db-wal>, "..ack-2..", 4096, 4096) = 4096',
        "7 fdatasync(9</d/farnear.db>)           = 0",
        '9 sendmsg(5<socket:[1]>, {"ack-2"}) = 9',
        '7 pwrite64(8</d/farnear.db-wal>, "..ack-3 ack-4..", 4096, 8192) = 4096',
        "7 fdatasync(8</d/farnear.db-wal>)       = 0",
        '9 sendmsg(5<socket:[1]>, {"ack-3"} <unfinished ...>',
        '10 sendmsg(5<socket:[1]>, {"ack-4"} <unfinished ...>',
        "9 <... sendmsg resumed>) = 9",
    ]
    found = acknowledgements(trace, ["ack-1", "ack-2", "ack-3", "ack-4"])
    assert {item_id: one.is_late for item_id, one in found.items()} == {
        "ack-1": True,
        "ack-2": True,
        "ack-3": False,
        "ack-4": False,
    }


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run([found, "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")
    return found


@contextmanager
def traced(strace: str, program: str, folder: Path, bundle: Path) -> Iterator[farnear.Client]:
    """A client of a server whose calls go to `folder`/trace; the trace is whole after the block."""
    command = [strace, "-f", "-y", "-s", "100000", "-o", str(folder / "trace")]
    command += ["-e", "trace=pwrite64,fdatasync,fsync,write,writev,sendmsg,sendto"]
    command += [sys.executable, "-c", program, "serve", "--data", str(folder / "data"), "--bundle", f"tiny={bundle}"]
    command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as tracer,
    ):
        assert tracer.stdout is not None
        address = next((match[1] for line in tracer.stdout if (match := READY.match(line))), None)
        assert address is not None, (folder / "log").read_text()
        try:
            with farnear.Client(address) as client:
                yield client
        finally:
            os.kill(int((folder / "data" / "farnear.lock").read_text()), signal.SIGKILL)
            tracer.stdout.read()


def store_some(client: farnear.Client) -> list[str]:
    """Stores items one by one, in a batch, and by eight writers at a time; returns the ids that were acknowledged."""
    digest = client.create_collection("c", bundle="tiny").bundle_digest
    content = farnear.Vector(values=[1, 2, 3, 4], bundle_digest=digest)

    def store(*ids: str) -> list[str]:
        outcomes = client.upsert("c", [farnear.NewItem(item_id=item_id, content=content) for item_id in ids])
        assert [outcome.error for outcome in outcomes] == [None] * len(ids)
        return list(ids)

    stored = [item_id for number in range(10) for item_id in store(f"single-{number:03}")]
    stored += store(*(f"batch-{number:03}" for number in range(40)))
    with ThreadPoolExecutor(8) as pool:
        for written in pool.map(lambda number: store(f"group-{number:03}"), range(80)):
            stored += written
    return stored


def test_no_acknowledgement_leaves_before_the_sync_of_its_commit_has_returned(
    strace: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    with traced(strace, SERVE, tmp_path, tiny_bundle) as client:
        stored = store_some(client)
    trace = (tmp_path / "trace").read_text().splitlines()
    found = acknowledgements(trace, stored)
    assert [item_id for item_id, one in found.items() if one.is_late] == []
    commits = {kind: Counter(one.sync for name, one in found.items() if name.startswith(kind)) for kind in KINDS}
    assert set(commits["single"].values()) == {1}
    assert set(commits["batch"].values()) == {40}
    assert max(commits["group"].values()) > 1, "no commit was shared"
    # The log and the folders it lies in can be found after a loss of power.
    first_write = next(number for number, line in enumerate(trace) if "single-000" in line)
    for folder in (tmp_path, tmp_path / "data"):
        assert any("sync(" in line and f"<{folder}>)" in line for line in trace[:first_write])


def test_a_server_that_does_not_sync_is_found_out(strace: str, tiny_bundle: Path, tmp_path: Path) -> None:
    with traced(strace, SERVE_CARELESSLY, tmp_path, tiny_bundle) as client:
        stored = store_some(client)
    found = acknowledgements((tmp_path / "trace").read_text().splitlines(), stored)
    assert all(one.is_late for one in found.values())
