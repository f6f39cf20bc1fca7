import dataclasses
from typing import Any

import pytest
from farnear_service.errors import InvalidError, PreconditionError
from farnear_service.maps import MapSettings, check_enough


def test_the_defaults_are_those_of_the_paper() -> None:
    settings = MapSettings()
    settings.check()
    assert (settings.eps, settings.min_samples) == (3.0, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": 0.0}, "eps: is 0.0; allowed are values above 0, at most 1e"),
        ({"eps": -1.0}, "eps: is -1.0"),
        ({"eps": float("nan")}, "eps: is nan"),
        ({"eps": float("inf")}, "eps: is inf"),
        ({"min_samples": 1}, "min_samples: is 1; allowed are 2 to 10000"),
        ({"min_samples": 10_001}, "min_samples: is 10001"),
        ({"perplexity": 0.9}, "perplexity: is 0.9; allowed are 1 to 1000"),
        ({"perplexity": float("nan")}, "perplexity: is nan"),
        ({"perplexity": 1001.0}, "perplexity: is 1001"),
    ],
)
def test_settings_that_no_map_can_be_made_with_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        dataclasses.replace(MapSettings(), **change).check()


def test_fewer_items_than_a_core_point_needs_are_refused() -> None:
    with pytest.raises(PreconditionError, match="collection: has 9 items; a map needs at least 10"):
        check_enough(9, MapSettings())
    check_enough(10, MapSettings())
