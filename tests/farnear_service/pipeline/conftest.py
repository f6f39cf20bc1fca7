"""A collection in the open store."""

import pytest
from farnear_service.store import Store
from farnear_service.types import Collection, ImageRetention


@pytest.fixture
def cells(store: Store) -> Collection:
    return store.create_collection(
        "cells", bundle_name="tiny", bundle_digest="0" * 64, dim=4, retention=ImageRetention.NONE
    )
