"""What every network is, and what it says of a batch.

Shapes: B batch, H height, W width, D embedding, K feature maps of h x w, R reduction.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class Outputs(NamedTuple):
    """What a network says of a batch.

    Attributes:
        embedding: Unit vectors, float32 of shape (B, D).
        features: The feature maps after their activation, of shape (B, K, h, w).
        reduction: The reduction layer before its activation, of shape (B, R).
    """

    embedding: Tensor
    features: Tensor
    reduction: Tensor


class Network(nn.Module):
    """Images in, unit vectors out.

    A subclass gives `embed`, the class attributes, and `heatmaps` where it has a closed form.

    Args:
        image_size: Width and height of the images in pixels.
        embedding_dim: D, at least 2.

    Attributes:
        name: What settings call it.
        feature_layer: The layer whose maps A Grad-CAM weighs.
        reduction_layer: The layer U whose squares it sums.
        closed_form: Whether `heatmaps` gives Grad-CAM without a backward pass.
        heatmap_tolerance: How far an exported heat map may be from autograd's, in parts of the map's maximum.
    """

    name: ClassVar[str]
    feature_layer: ClassVar[str]
    reduction_layer: ClassVar[str]
    closed_form: ClassVar[bool]
    heatmap_tolerance: ClassVar[float] = 1e-5

    def __init__(self, *, image_size: int, embedding_dim: int) -> None:
        super().__init__()
        if embedding_dim < 2:
            raise ValueError(f"embedding_dim: {embedding_dim}; allowed is 2 or more")
        self.image_size = image_size
        self.embedding_dim = embedding_dim

    def forward(self, images_BHW3: Tensor) -> Outputs:
        """Embeds RGB images, uint8 of shape (B, H, W, 3)."""
        return self.embed(to_pixels(images_BHW3))

    def embed(self, pixels_B3HW: Tensor) -> Outputs:
        """Embeds pixels in [0, 1], float of shape (B, 3, H, W)."""
        raise NotImplementedError

    def heatmaps(self, outputs: Outputs) -> Tensor:
        """Grad-CAM for a metric (Yasuno et al., eq. 6-8) of shape (B, h, w), 0 or more, without a backward pass.

            y = sum_m (U_m)^2;  alpha_k = mean_xy dy/dA_k;  heat map = ReLU(sum_k alpha_k A_k)

        Where U is linear in A, dy/dA is the transpose of that linear map applied to 2 U.
        """
        raise NotImplementedError


def to_pixels(images_BHW3: Tensor) -> Tensor:
    """RGB images, uint8 of shape (B, H, W, 3), as pixels in [0, 1], float32 of shape (B, 3, H, W), channels last."""
    return images_BHW3.permute(0, 3, 1, 2).to(torch.float32) / 255
