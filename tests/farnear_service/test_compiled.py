import subprocess
import sys
import textwrap

import numpy as np
from farnear_service.compiled import compiled


def total(values: np.ndarray) -> float:
    added = 0.0
    for i in range(len(values)):
        added += values[i]
    return added


def test_a_function_computes_as_before() -> None:
    values = np.arange(100.0)
    assert compiled(total)(values) == total(values) == 4950


def test_all_that_is_compiled_can_be_imported_where_nothing_can_be_kept() -> None:
    """As in a container that is read-only."""
    code = """
        from numba.core import caching

        for kind in (caching.CompileResultCacheImpl, caching.CodeLibraryCacheImpl):
            kind._locator_classes = []
        import farnear_service.dbscan
        import farnear_service.index
        import numpy as np
        from farnear_service.compiled import compiled

        print(compiled(lambda x: x + 1)(1))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stdout == "2\n", done.stderr
