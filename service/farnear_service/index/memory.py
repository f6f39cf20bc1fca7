"""Arrays laid out for scanning."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

_LINE = 64  # bytes that a processor loads at a time


def moved(array: NDArray[T], room: int, rows: NDArray[np.int64] | None = None) -> NDArray[T]:
    """`array`, or some rows of it, at the start of a new array with `room` rows; what lies behind has no meaning.

    The new array begins with a line of memory: a vector of 16 float32 values lies in one line then, not in two.
    """
    shape = (room, *array.shape[1:])
    size = int(np.prod(shape)) * array.itemsize
    data = np.empty(size + _LINE, np.uint8)
    begin = -data.ctypes.data % _LINE
    target = data[begin : begin + size].view(array.dtype).reshape(shape)
    if rows is None:
        target[: len(array)] = array
    else:
        np.take(array, rows, axis=0, out=target[: len(rows)], mode="clip")  # "raise" would copy twice
    return target
