"""Functions that Numba compiles at their first call."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any], fastmath: bool | set[str] = False) -> Callable[..., Any]:
    """`function` compiled, without the interpreter's lock, and kept on disk for other processes if there is a folder.

    `fastmath` are LLVM's flags that it may compute by.
    """
    try:
        return njit(cache=True, nogil=True, fastmath=fastmath)(function)
    except RuntimeError:  # there is none, as in a container that is read-only
        return njit(nogil=True, fastmath=fastmath)(function)
