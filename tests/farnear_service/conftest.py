"""Fixtures for the tests of the service."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from farnear_service.store import Store

from tests.farnear_service.heatmaps import add_heatmaps


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def heatmap_bundle(
    tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Path], seal_bundle: Callable[[Path], str]
) -> Path:
    """The tiny bundle with heat maps in its graph."""
    path = make_bundle(tmp_path_factory.mktemp("heatmaps") / "tiny")
    add_heatmaps(path)
    seal_bundle(path)
    return path
