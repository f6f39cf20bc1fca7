"""Room on the disk that is held back, so that on a full one things can still be deleted."""

import os
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 16 * 2**20
_STEP = 2**20


class Reserve:
    """A file that only takes up room. Whoever uses it holds off other writers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_whole = False

    def is_there(self) -> bool:
        """Whether room is held, by this process or by one before it."""
        return self._path.exists() and self._path.stat().st_size > 0

    def hold(self) -> None:
        """Takes the room, as far as the disk has it; none on a system without a call for that, such as macOS."""
        if self._is_whole or not hasattr(os, "posix_fallocate"):
            return
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                for start in range(0, RESERVE_BYTES, _STEP):
                    os.posix_fallocate(descriptor, start, _STEP)
                self._is_whole = True
            finally:
                os.close(descriptor)

    def give_up(self) -> None:
        """Leaves the room to others."""
        self._is_whole = False
        with suppress(FileNotFoundError):
            os.truncate(self._path, 0)
