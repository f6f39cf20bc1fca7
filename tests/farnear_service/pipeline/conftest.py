"""An open store, and a collection in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from farnear_service.store import Store
from farnear_service.types import Collection, ImageRetention


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def cells(store: Store) -> Collection:
    return store.create_collection(
        "cells", bundle_name="tiny", bundle_digest="0" * 64, dim=4, retention=ImageRetention.NONE
    )
