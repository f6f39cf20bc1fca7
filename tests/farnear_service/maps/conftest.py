import numpy as np
import pytest
from farnear_service.maps import FittedMap, MapSettings, fit_map
from farnear_service.types import FloatArray

SETTINGS = MapSettings(perplexity=8, min_samples=5)


def groups(count: int, *, seed: int, dim: int = 4) -> FloatArray:
    """Unit vectors around the axes, `count` in all, one axis after the other."""
    centres = 3 * np.eye(dim)[np.arange(count) * dim // count]
    vectors = centres + np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="package")
def vectors() -> FloatArray:
    made = groups(80, seed=0)
    made.setflags(write=False)
    return made


@pytest.fixture(scope="package")
def keys() -> np.ndarray:
    made = np.arange(10, 90)
    made.setflags(write=False)
    return made


@pytest.fixture(scope="package")
def fitted(keys: np.ndarray, vectors: FloatArray) -> FittedMap:
    return fit_map(keys, vectors, SETTINGS, 1).fitted


@pytest.fixture(scope="package")
def newcomers() -> FloatArray:
    return groups(30, seed=1)
