import asyncio
import math
import multiprocessing
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from farnear_service.jobs import JobFailedError, run_in_process

# A job must be importable by the fresh process, so these lie in a module of their own.
_JOBS = """
import os
import struct
import threading
from multiprocessing.connection import Connection


def block(pipe):
    "Tells its process id and goes on for ever; the pipe ends when the process does."
    with open(pipe, "w") as out:
        print(os.getpid(), file=out, flush=True)
        threading.Event().wait()


def answer_with_a_lock():
    return threading.Lock()


def die_in_the_middle_of_the_answer():
    def send_half(connection, answer):
        os.write(connection.fileno(), struct.pack("!i", len(answer)) + answer[: len(answer) // 2])
        os._exit(1)

    Connection._send_bytes = send_half


def echo(value):
    return value
"""

_PARENT = """
import asyncio
import sys

import jobs_of_the_test
from farnear_service.jobs import run_in_process

if __name__ == "__main__":
    asyncio.run(run_in_process(jobs_of_the_test.block, sys.argv[1]))
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "jobs_of_the_test.py").write_text(_JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jobs_of_the_test", raising=False)
    import jobs_of_the_test  # type: ignore[import-not-found] # written a moment ago

    return jobs_of_the_test


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def ended(reader: Any) -> bool:
    """Whether the process at the other end of a pipe ends; waits for it within bounds."""
    ready, _, _ = select.select([reader], [], [], 30)
    return bool(ready) and reader.read() == ""


def none_left() -> bool:
    """Whether no child process is left; waits within bounds for those that are ending."""
    for child in multiprocessing.active_children():
        child.join(10)
    left = multiprocessing.active_children()
    for child in left:
        child.kill()
        child.join()
    return not left


async def test_a_result_comes_back_from_another_process_that_is_nicer() -> None:
    assert await run_in_process(divmod, 17, 5) == (3, 2)
    assert await run_in_process(os.getpid) != os.getpid()
    assert await run_in_process(os.nice, 0) == min(19, os.nice(0) + 10)
    assert none_left()


async def test_a_result_larger_than_a_pipe_holds_comes_back(jobs: Any) -> None:
    assert await run_in_process(jobs.echo, value=bytes(10_000_000)) == bytes(10_000_000)


async def test_an_exception_is_told() -> None:
    with pytest.raises(JobFailedError, match=r"^ValueError: "):
        await run_in_process(math.sqrt, -1.0)
    assert none_left()


async def test_a_process_that_dies_or_cannot_answer_is_told(jobs: Any) -> None:
    for work in (
        run_in_process(os._exit, 3),
        run_in_process(jobs.answer_with_a_lock),
        run_in_process(jobs.die_in_the_middle_of_the_answer),
    ):
        with pytest.raises(JobFailedError, match="the process ended without an answer"):
            await work
    assert none_left()


async def test_cancelling_the_caller_ends_the_process(jobs: Any, pipe: Path) -> None:
    task = asyncio.create_task(run_in_process(jobs.block, str(pipe)))
    with await asyncio.to_thread(pipe.open) as reader:
        assert int(await asyncio.to_thread(reader.readline)) != os.getpid()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended(reader)
    assert none_left()


async def test_cancelling_the_caller_while_the_process_is_started_ends_it_too(
    jobs: Any, pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    starting, may_start = asyncio.Event(), threading.Event()
    start = multiprocessing.context.SpawnProcess.start

    def start_when_told(process: Any) -> None:
        loop.call_soon_threadsafe(starting.set)
        may_start.wait()
        start(process)

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", start_when_told)
    task = asyncio.create_task(run_in_process(jobs.block, str(pipe)))
    await starting.wait()
    task.cancel()
    await asyncio.sleep(0)
    may_start.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await loop.shutdown_default_executor()  # returns when the thread that starts the process has ended
    assert none_left(), "the process goes on, and nobody waits for it"


def test_the_process_ends_when_its_parent_is_killed(jobs: Any, pipe: Path, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(_PARENT)
    with subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(pipe)]) as parent, pipe.open() as reader:
        assert int(reader.readline()) != parent.pid
        parent.kill()
        assert ended(reader)
