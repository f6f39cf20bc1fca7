"""What every network is, and what it says of a batch.

Shapes: B batch, H height, W width, D embedding, K feature maps of h x w, R reduction.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


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

    A subclass gives `embed`, the class attributes, and where it has a closed form `channel_weights` and
    `reduction_slope`.

    Args:
        image_size: Width and height of the images in pixels.
        embedding_dim: D, at least 2.

    Attributes:
        name: What settings call it.
        feature_layer: The layer whose maps A Grad-CAM weighs.
        reduction_layer: The layer U whose squares it sums.
        closed_form: Whether `heatmaps` and `pair_heatmaps` give Grad-CAM without a backward pass.
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
        return functional.relu(self._weighed(outputs, 2 * outputs.reduction))

    def pair_heatmaps(self, outputs: Outputs, targets_BD: Tensor) -> Tensor:
        """Grad-CAM of the cosine of two images (Zhu et al. 2019), for the one side, of shape (B, h, w), signed.

            y = e . t;  alpha_k = mean_xy dy/dA_k;  heat map = sum_k alpha_k A_k

        with e the image's embedding and t the other's, unit vectors (B, D), held fixed. No backward pass is needed:
        dy/dA is the transpose of the linear map from A to U applied to dy/dU. A target of zeros has a map of zeros.
        """
        return self._weighed(outputs, self.reduction_slope(outputs, targets_BD))

    def channel_weights(self, outputs: Outputs, slope_BR: Tensor) -> Tensor:
        """Alpha of shape (B, K): the mean over the places of dy/dA, for a score whose dy/dU is `slope_BR`."""
        raise NotImplementedError

    def reduction_slope(self, outputs: Outputs, targets_BD: Tensor) -> Tensor:
        """d(e . t)/dU of shape (B, R), for embeddings e and fixed targets t."""
        raise NotImplementedError

    def _weighed(self, outputs: Outputs, slope_BR: Tensor) -> Tensor:
        return torch.einsum("bk,bkhw->bhw", self.channel_weights(outputs, slope_BR), outputs.features)


def cosine_slope(vectors_BD: Tensor, targets_BD: Tensor) -> Tensor:
    """The gradient of z / |z| . t by z, of shape (B, D), for vectors z of any length and fixed targets t."""
    length_B1: Tensor = torch.linalg.vector_norm(vectors_BD, dim=1, keepdim=True)
    unit_BD = vectors_BD / length_B1
    cosine_B1 = (unit_BD * targets_BD).sum(dim=1, keepdim=True)
    return (targets_BD - cosine_B1 * unit_BD) / length_B1


def to_pixels(images_BHW3: Tensor) -> Tensor:
    """RGB images, uint8 of shape (B, H, W, 3), as pixels in [0, 1], float32 of shape (B, 3, H, W), channels last."""
    return images_BHW3.permute(0, 3, 1, 2).to(torch.float32) / 255
