from collections.abc import Callable

import pytest
import torch
from farnear_training.models import Network, StridedCnn
from torch import Tensor
from torch.nn import functional


def test_its_parameter_counts() -> None:
    model = StridedCnn(image_size=32, embedding_dim=32)
    counts = [sum(p.numel() for p in layer.parameters()) for layer in (*model.convs, *model.norms, model.conv5)]
    # kernel 2 x 2 x in x out + out; scale and shift of every map
    assert counts == [416, 8_256, 32_896, 131_328, 64, 128, 256, 512, 8_200]


@pytest.mark.parametrize(
    ("size", "dim", "maps", "side"), [(32, 32, 8, 2), (28, 32, 8, 2), (16, 8, 8, 1), (64, 16, 1, 4), (33, 18, 2, 3)]
)
def test_the_places_of_the_last_layer_are_the_embedding(size: int, dim: int, maps: int, side: int) -> None:
    model = StridedCnn(image_size=size, embedding_dim=dim).eval()
    outputs = model(torch.zeros((2, size, size, 3), dtype=torch.uint8))
    assert model.conv5.out_channels == maps
    assert outputs.features.shape == (2, 256, side, side)
    assert outputs.reduction.shape == outputs.embedding.shape == (2, maps * side * side)


def test_the_embedding_is_a_sigmoid_of_the_reduction(
    settled: Callable[[Network], Network], make_noise: Callable[[int, int], Tensor]
) -> None:
    torch.manual_seed(0)
    outputs = settled(StridedCnn(image_size=32, embedding_dim=32))(make_noise(3, 32))
    assert outputs.reduction.min() < 0
    expected = 1 / (1 + torch.exp(-outputs.reduction))
    torch.testing.assert_close(outputs.embedding, expected / expected.norm(dim=1, keepdim=True))


def test_features_are_batch_normed_after_leaky_relu(make_noise: Callable[[int, int], Tensor]) -> None:
    torch.manual_seed(0)
    model = StridedCnn(image_size=32, embedding_dim=32)
    features = model(make_noise(64, 32)).features  # in training mode, where the norm is that of the batch
    torch.testing.assert_close(features.mean(dim=(0, 2, 3)), torch.zeros(256), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(dim=(0, 2, 3)), torch.ones(256), atol=0.01, rtol=0)


def test_an_odd_side_is_padded_on_the_right_and_at_the_bottom(make_noise: Callable[[int, int], Tensor]) -> None:
    torch.manual_seed(0)
    model = StridedCnn(image_size=31, embedding_dim=32).eval()
    pixels = make_noise(2, 31).permute(0, 3, 1, 2) / 255
    expected = torch.full((2, 3, 32, 32), 0.5)  # the middle of 0..1 is the 0 of centred pixels
    expected[:, :, :31, :31] = pixels
    for found, same in zip(model.embed(pixels), model.embed(expected), strict=True):
        torch.testing.assert_close(found, same)


def test_grey_as_rgb_is_one_channel_with_the_summed_kernel(make_noise: Callable[[int, int], Tensor]) -> None:
    torch.manual_seed(0)
    conv = StridedCnn(image_size=28, embedding_dim=32).convs[0]
    grey = make_noise(2, 28)[..., :1].permute(0, 3, 1, 2) / 255
    expected = functional.conv2d(grey, conv.weight.sum(dim=1, keepdim=True), conv.bias, stride=2)
    torch.testing.assert_close(conv(grey.expand(-1, 3, -1, -1)), expected)


def test_an_image_that_four_strides_cannot_halve_is_refused() -> None:
    with pytest.raises(ValueError, match="image_size: 15; allowed is 16 or more"):
        StridedCnn(image_size=15, embedding_dim=16)


def test_an_embedding_that_does_not_fill_its_places_is_refused() -> None:
    with pytest.raises(ValueError, match="embedding_dim: 16; at image_size 160 allowed is a multiple of 100"):
        StridedCnn(image_size=160, embedding_dim=16)
