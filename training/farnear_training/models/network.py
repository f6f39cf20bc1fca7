"""What every network is, and what it says of a batch.

Shapes: B batch, H height, W width, D embedding, K feature maps of h x w, R reduction, T targets.
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
        vector: The embedding before it is scaled to unit length, float32 of shape (B, D).
    """

    embedding: Tensor
    features: Tensor
    reduction: Tensor
    vector: Tensor


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
        return functional.relu(self._weighed(outputs, 2 * outputs.reduction[:, None])[:, 0])

    def pair_heatmaps(self, outputs: Outputs, targets_TD: Tensor) -> Tensor:
        """Where in each image its cosine with each target comes from, of shape (B, T, h, w), signed (Zhu et al. 2019).

            y = z . t / |z|, |z| held fixed;  alpha_k = mean_xy dy/dA_k;  heat map = sum_k alpha_k A_k

        with z the image's vector and t a unit vector, that of another image. Its length held fixed, y is linear in z:
        the map tells what the cosine is made of. Where z is linear in pooled features, its places sum up to the cosine
        less the bias's share, b . t / |z|; where they are weighed place by place Grad-CAM's mean is near to that only.
        With its length differentiated too, y has no slope between images that are alike, and next to nothing is left.

        No backward pass is needed: dy/dA is the transpose of the linear map from A to U applied to dy/dU. The maps of
        the opposite target are the opposite ones, a target of zeros has a map of zeros.

        References:
            Zhu, Yang and Chen, Visual Explanation for Deep Metric Learning, arXiv:1909.12977 (IEEE TIP 2021).
        """
        length_B11 = torch.linalg.vector_norm(outputs.vector, dim=1)[:, None, None]
        return self._weighed(outputs, self.reduction_slope(outputs, targets_TD) / length_B11)

    def channel_weights(self, outputs: Outputs, slope_BR: Tensor) -> Tensor:
        """Alpha of shape (B, K): the mean over the places of dy/dA, for a score whose dy/dU is `slope_BR`.

        It is the same linear map for every image, so B may be any number.
        """
        raise NotImplementedError

    def reduction_slope(self, outputs: Outputs, targets_TD: Tensor) -> Tensor:
        """d(z . t)/dU of shape (B, T, R), for the vectors z and every one of T fixed targets t."""
        raise NotImplementedError

    def _weighed(self, outputs: Outputs, slope_BTR: Tensor) -> Tensor:
        weights_BTK = self.channel_weights(outputs, slope_BTR.flatten(0, 1)).reshape(*slope_BTR.shape[:2], -1)
        maps_BTp = weights_BTK @ outputs.features.flatten(2)
        return maps_BTp.reshape(*slope_BTR.shape[:2], *outputs.features.shape[2:])


def to_pixels(images_BHW3: Tensor) -> Tensor:
    """RGB images, uint8 of shape (B, H, W, 3), as pixels in [0, 1], float32 of shape (B, 3, H, W), channels last."""
    return images_BHW3.permute(0, 3, 1, 2).to(torch.float32) / 255
