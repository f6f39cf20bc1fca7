"""A Farnear server as a child process, for as long as a `with` block lasts."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farnear.command import RefusedError

_READY = "farnear: serving on "
_DRAIN_SECONDS = 30.0
_EXIT_SECONDS = 2.0
_LOG_LINES_SHOWN = 12


@contextmanager
def serving(*, data: Path, bundle: Path, name: str, log: Path) -> Iterator[str]:
    """Serve `bundle` as `name` on a free port of this machine and yield the address.

    The server is stopped by SIGTERM however the block ends. Its stderr goes to `log`; where it ends by itself, the last
    lines of that go to stderr.

    Raises:
        RefusedError: The server ended by itself, before or within the block.
    """
    command = [sys.executable, "-m", "farnear", "serve", "--data", str(data), "--bundle", f"{name}={bundle}"]
    command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
    with (
        log.open("wb") as stderr,
        # A process group of its own: Ctrl-C in the terminal reaches the demo alone, which then stops the server.
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, process_group=0) as process,
    ):
        assert process.stdout is not None
        try:
            address = next((line.removeprefix(_READY) for line in process.stdout if line.startswith(_READY)), None)
            if address is None:
                raise _refusal(process.wait(), log)
            # Whatever else it prints is read, so that the server never waits for room in the pipe.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            try:
                yield address.strip()
            except Exception as error:
                exit_code = _exit_code(process)
                if exit_code is not None:
                    raise _refusal(exit_code, log) from error
                raise
        finally:
            _stop(process)


def _exit_code(process: "subprocess.Popen[str]") -> int | None:
    """The exit code of a process that has ended, or is about to; None where it runs on."""
    try:
        return process.wait(timeout=_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(timeout=_DRAIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _refusal(exit_code: int, log: Path) -> RefusedError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
    sys.stderr.write("".join(f"  {line}\n" for line in lines))
    return RefusedError(f"the server ended by itself with exit code {exit_code}; the whole log is {log}")
