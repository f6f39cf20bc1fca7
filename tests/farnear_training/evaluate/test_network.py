import numpy as np
import torch
from farnear_training.data import Dataset
from farnear_training.evaluate import embed, evaluate
from farnear_training.metrics import chance, retrieval
from farnear_training.models import MnPairCnn


def model() -> MnPairCnn:
    torch.manual_seed(0)
    return MnPairCnn(image_size=16, embedding_dim=4)


def test_embeddings_come_in_order_of_the_images(stripes: Dataset) -> None:
    network = model()
    with torch.inference_mode():
        one_by_one = [network(torch.from_numpy(image[None])).embedding[0].numpy() for image in stripes.images]
    found = embed(network, stripes.images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(one_by_one), atol=1e-5)


def test_the_network_stands_beside_pixels_and_chance(stripes: Dataset) -> None:
    network = model()
    pixels = np.stack([image.astype(np.float32).ravel() for image in stripes.images])
    found = evaluate(network, stripes)
    assert found.learned == retrieval(embed(network, stripes.images), stripes.labels)
    assert found.raw_pixels == retrieval(pixels, stripes.labels)
    assert found.chance == chance(stripes.labels)
    keys = {"precision_at_1", "r_precision", "map_at_r"}
    written = found.to_json()
    assert set(written) == keys | {"raw_pixels", "chance"}
    assert set(written["raw_pixels"]) == set(written["chance"]) == keys
    assert written["map_at_r"] == found.learned.map_at_r
