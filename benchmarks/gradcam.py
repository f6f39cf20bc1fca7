"""Heat maps by pytorch-grad-cam, of the score that the network's own ones explain, and plain gradients by Torch.

pytorch-grad-cam is on PyPI as `grad-cam`. What is asked of it imports neither torchvision nor OpenCV for more than
resizing, and it may be installed without its dependencies where torchvision is too large.
"""

import importlib.util
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from farnear_training.models import MnPairCnn, to_pixels
from numpy.typing import NDArray
from torch import Tensor, nn

PACKAGE = "grad-cam"
ABSENT = "grad-cam: not installed, so pytorch-grad-cam is left out (pip install grad-cam)"
_POOLED = 3


def is_installed() -> bool:
    return importlib.util.find_spec("pytorch_grad_cam") is not None


def layers_of(model: MnPairCnn) -> nn.Sequential:
    """The network from pixels, (B, 3, H, W) in [0, 1], to its reduction, with a module for each layer to hook."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, conv in enumerate((model.conv1, model.conv2, model.conv3, model.conv4), start=1):
        layers[f"conv{number}"], layers[f"relu{number}"] = conv, nn.ReLU()
        if number <= _POOLED:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
    layers["flatten"], layers["fc1"] = nn.Flatten(), model.fc1
    return nn.Sequential(layers).eval()


def score(reduction: Tensor) -> Tensor:
    """The score y = sum_m (U_m)^2, of one image or of all (Yasuno et al., eq. 6)."""
    return reduction.square().sum()


class Peer:
    """One method of pytorch-grad-cam at one layer; to be used in `with`, as it hooks the layer.

    Args:
        method: The name of its class, such as GradCAM.
        model: Whose score is explained.
        layer: `relu1` to `relu4`.
    """

    def __init__(self, method: str, model: MnPairCnn, layer: str) -> None:
        import pytorch_grad_cam  # type: ignore[import-not-found,unused-ignore]  # no dependency of anything here

        layers = layers_of(model)
        self._layer = layers.get_submodule(layer)
        self._cam: Any = getattr(pytorch_grad_cam, method)(layers, [self._layer])

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *error: object) -> None:
        self._cam.activations_and_grads.release()

    def __call__(self, images_BHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What its users call: maps scaled to 0..1 each, enlarged to the images."""
        maps: NDArray[np.float32] = self._cam(to_pixels(torch.from_numpy(images_BHW3)), [score] * len(images_BHW3))
        return maps

    def raw(self, images_BHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Its maps of shape (B, h, w) before it scales and enlarges them."""
        self(images_BHW3)
        held = self._cam.activations_and_grads
        activations, gradients = (part[0].detach().numpy() for part in (held.activations, held.gradients))
        maps: NDArray[np.float32] = self._cam.get_cam_image(None, self._layer, None, activations, gradients, False)
        return np.maximum(maps, 0)


def input_gradients(model: MnPairCnn, images_BHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The largest of |dy/dpixel| over the channels, of shape (B, H, W) (Simonyan, Vedaldi and Zisserman 2014)."""
    pixels = to_pixels(torch.from_numpy(images_BHW3)).requires_grad_()
    (gradient,) = torch.autograd.grad(score(model.embed(pixels).reduction), pixels)
    saliency: NDArray[np.float32] = gradient.abs().amax(dim=1).numpy()
    return saliency


def in_batches(
    explain: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images: NDArray[np.uint8], size: int = 32
) -> NDArray[np.float32]:
    return np.concatenate([explain(images[start : start + size]) for start in range(0, len(images), size)])
