from typing import Any

import numpy as np
import pytest
from farnear_service.index.memory import moved
from numpy.typing import NDArray


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_all_or_some_rows_come_first_in_an_array_that_begins_with_a_line(dtype: type) -> None:
    array: NDArray[Any] = np.arange(24).reshape(8, 3).astype(dtype)
    for room in (8, 50):
        whole, part = moved(array, room), moved(array, room, np.array([6, 1]))
        assert whole.shape == part.shape == (room, 3)
        assert whole.dtype == part.dtype == array.dtype
        assert whole.ctypes.data % 64 == part.ctypes.data % 64 == 0
        np.testing.assert_array_equal(whole[:8], array)
        np.testing.assert_array_equal(part[:2], array[[6, 1]])
    assert moved(array[:0], 0).shape == (0, 3)
