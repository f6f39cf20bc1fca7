"""Work that must not disturb requests: one job at a time, in a process of its own."""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class JobFailedError(Exception):
    """The job's process raised or died; the message says how."""


async def run_in_process(job: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Runs `job` in a fresh process and returns what it returns.

    Arguments and result are pickled. Cancelling the caller ends the process; the death of this process ends it too.
    Raises JobFailedError.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, job, args, kwargs), daemon=True)
    # A start cannot be stopped half-way: whoever cancels waits for it, and then ends what was started.
    starting = asyncio.create_task(asyncio.to_thread(process.start))
    try:
        await asyncio.shield(starting)
        sender.close()
        succeeded, value = await asyncio.to_thread(_receive, receiver)
    except asyncio.CancelledError:
        await starting
        process.kill()
        raise
    finally:
        sender.close()
        await asyncio.shield(asyncio.to_thread(_clean_up, process, receiver))
    if not succeeded:
        raise JobFailedError(value)
    result: Result = value
    return result


def _receive(receiver: Connection) -> tuple[bool, Any]:
    try:
        answer: tuple[bool, Any] = receiver.recv()
    except (EOFError, OSError):  # the latter where it ended in the middle of an answer
        return False, "the process ended without an answer"
    return answer


def _clean_up(process: SpawnProcess, receiver: Connection) -> None:
    if process.pid is not None:
        process.join()
    receiver.close()
    process.close()


def _child(sender: Connection, job: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(10)  # a job may take as long as it needs; requests may not
    try:
        answer = (True, job(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
        answer = (False, f"{type(error).__name__}: {error}")
    sender.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
