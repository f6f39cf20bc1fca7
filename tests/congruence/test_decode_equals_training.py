"""Training and service decode by one rule: the same bytes give the same pixels, or both refuse."""

import numpy as np
import pytest
from farnear_service.errors import InvalidError
from farnear_service.image import ImageLimits
from farnear_service.image import decode as service_decode
from farnear_training.data import DataError
from farnear_training.data import decode as training_decode


@pytest.mark.parametrize(("width", "height"), [(16, 16), (33, 7), (160, 160)])
def test_still_pictures(width: int, height: int, still_pictures: dict[str, bytes]) -> None:
    for name, data in still_pictures.items():
        np.testing.assert_array_equal(
            service_decode(data, width, height, ImageLimits()), training_decode(data, width, height), err_msg=name
        )


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # it warns of some damage before it gives up
def test_refused_pictures(refused_pictures: dict[str, bytes]) -> None:
    for name, data in refused_pictures.items():
        for decode, refusal in (
            (lambda data: service_decode(data, 16, 16, ImageLimits()), InvalidError),
            (lambda data: training_decode(data, 16, 16), DataError),
        ):
            try:
                decode(data)
            except refusal:
                continue
            pytest.fail(f"{name}: was accepted")
