import numpy as np
import pytest
from farnear_service.maps import FittedMap
from farnear_service.maps.tsne import embedding
from farnear_service.types import FloatArray

from tests.farnear_service.maps.conftest import groups


@pytest.mark.parametrize("count", [3, 80, 1000])
def test_items_are_placed_where_opentsne_places_them(count: int) -> None:
    """openTSNE's own steps, with a tree of the landmarks made anew for each of them."""
    vectors = groups(count, seed=0)
    positions = np.random.default_rng(1).normal(scale=20, size=(count, 2))
    fitted = FittedMap(
        version=1,
        perplexity=1.0,
        item_count=count,
        newest_key=count,
        reach=1.0,
        keys=np.arange(count),
        vectors=vectors,
        positions=positions,
    )
    newcomers: FloatArray = groups(20, seed=2)
    judge = embedding(vectors, positions, min(30.0, (count - 1) / 3), method="bh").prepare_partial(
        newcomers, perplexity=min(5.0, max(1.0, (count - 1) / 3)), k=min(25, count)
    )
    judge.optimize(250, learning_rate=0.1, exaggeration=1.5, momentum=0.8, max_grad_norm=0.25, inplace=True)
    np.testing.assert_array_equal(fitted.place(newcomers), np.asarray(judge))
