import pytest
import torch
from farnear_training.models import MnPairCnn


def test_the_paper_s_parameter_counts() -> None:
    model = MnPairCnn(image_size=160, embedding_dim=16)
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in model.named_children()}
    assert counts == {"conv1": 224, "conv2": 2_336, "conv3": 18_496, "conv4": 73_856, "fc1": 6_553_728, "fc2": 2_064}
    assert sum(p.numel() for p in model.parameters()) == 6_650_704


def test_outputs_have_their_shapes_and_the_embedding_unit_length() -> None:
    torch.manual_seed(0)
    model = MnPairCnn(image_size=24, embedding_dim=5)
    outputs = model(torch.randint(0, 256, (3, 24, 24, 3), dtype=torch.uint8))
    assert outputs.embedding.shape == (3, 5)
    assert outputs.features.shape == (3, 128, 3, 3)
    assert outputs.reduction.shape == (3, 128)
    torch.testing.assert_close(outputs.embedding.norm(dim=1), torch.ones(3))


def test_features_are_after_their_relu_and_the_reduction_before() -> None:
    torch.manual_seed(0)
    model = MnPairCnn(image_size=16, embedding_dim=4)
    outputs = model(torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8))
    assert outputs.features.min() == 0
    assert outputs.reduction.min() < 0
    torch.testing.assert_close(outputs.reduction, model.fc1(outputs.features.flatten(1)))
    expected = model.fc2(outputs.reduction.clamp(min=0))
    torch.testing.assert_close(outputs.embedding, expected / expected.norm(dim=1, keepdim=True))


def test_an_image_of_one_colour_has_no_frame() -> None:
    torch.manual_seed(0)
    model = MnPairCnn(image_size=32, embedding_dim=4)
    features = model(torch.full((1, 32, 32, 3), 200, dtype=torch.uint8)).features
    assert features.max() > 0
    torch.testing.assert_close(features, features[..., :1, :1].expand_as(features))


def test_weights_start_as_he_et_al_draw_them() -> None:
    torch.manual_seed(0)
    for layer in MnPairCnn(image_size=32, embedding_dim=16).children():
        weight, bias = layer.parameters()
        inputs = weight[0].numel()
        assert weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.2)
        assert bias.abs().max() == 0


@pytest.mark.parametrize("image_size", [0, 4, 30, 164, -8])
def test_image_sizes_that_three_poolings_cannot_halve_are_refused(image_size: int) -> None:
    with pytest.raises(ValueError, match=f"image_size: {image_size}; allowed is a multiple of 8"):
        MnPairCnn(image_size=image_size, embedding_dim=16)
