"""Networks: images -> embeddings, with the two inner layers that explain them.

Shapes: B batch, H height, W width, D embedding, K feature maps of h x w, R reduction.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURE_MAPS = 128
REDUCTION = 128


class Outputs(NamedTuple):
    """What a network says of a batch.

    Attributes:
        embedding: Unit vectors, float32 of shape (B, D).
        features: The feature maps after their ReLU, of shape (B, K, h, w).
        reduction: The reduction layer before its ReLU, of shape (B, R).
    """

    embedding: Tensor
    features: Tensor
    reduction: Tensor


class MnPairCnn(nn.Module):
    """The network of Yasuno, Okano and Fujii (MN-pair contrastive damage representation).

    Conv3x3-ReLU-MaxPool with 8, 32 and 64 maps, Conv3x3-ReLU with 128 (`relu4`), FC1 128 with ReLU, FC2 D; no batch
    norm, no skips. At 160 x 160 pixels and D = 16 it has 6,650,704 parameters.

    Weights start as He et al. 2015 ("Delving Deep into Rectifiers") draw them, biases at 0. From Torch's own smaller
    start all embeddings are nearly one at first, and up to 700 steps passed, by chance, before the loss began to fall.

    Args:
        image_size: Width and height of the images in pixels, a multiple of 8.
        embedding_dim: D, at least 2.
    """

    feature_layer = "relu4"
    reduction_layer = "fc1"

    def __init__(self, *, image_size: int, embedding_dim: int) -> None:
        super().__init__()
        if image_size < 8 or image_size % 8:
            raise ValueError(f"image_size: {image_size}; allowed is a multiple of 8, as three poolings halve it")
        if embedding_dim < 2:
            raise ValueError(f"embedding_dim: {embedding_dim}; allowed is 2 or more")
        self.image_size = image_size
        self.embedding_dim = embedding_dim
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv4 = nn.Conv2d(64, FEATURE_MAPS, 3, padding=1)
        self.fc1 = nn.Linear(FEATURE_MAPS * (image_size // 8) ** 2, REDUCTION)
        self.fc2 = nn.Linear(REDUCTION, embedding_dim)
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")

    def forward(self, images_BHW3: Tensor) -> Outputs:
        """Embeds RGB images, uint8 of shape (B, H, W, 3)."""
        return self.embed(to_pixels(images_BHW3))

    def embed(self, pixels_B3HW: Tensor) -> Outputs:
        """Embeds pixels in [0, 1], float of shape (B, 3, H, W)."""
        maps = functional.max_pool2d(functional.relu(self.conv1(pixels_B3HW)), 2)
        maps = functional.max_pool2d(functional.relu(self.conv2(maps)), 2)
        maps = functional.max_pool2d(functional.relu(self.conv3(maps)), 2)
        features = functional.relu(self.conv4(maps))
        reduction = self.fc1(features.flatten(1))
        embedding = self.fc2(functional.relu(reduction))
        return Outputs(functional.normalize(embedding.float()), features, reduction)

    def heatmaps(self, outputs: Outputs) -> Tensor:
        """Grad-CAM for a metric (Yasuno et al., eq. 6-8) of shape (B, h, w), 0 or more, without a backward pass.

        The score y = sum_m (U_m)^2 has the gradient 2 W1^T U over the features A, as U = W1 A + b is linear in them.
        Its mean over the places is alpha = 2 Wbar^T U, where Wbar is W1's mean over the places: O(R K) an image.
        """
        mean_weight_RK = self.fc1.weight.reshape(REDUCTION, FEATURE_MAPS, -1).mean(dim=2)
        alpha_BK = 2 * outputs.reduction @ mean_weight_RK
        return functional.relu(torch.einsum("bk,bkhw->bhw", alpha_BK, outputs.features))


def to_pixels(images_BHW3: Tensor) -> Tensor:
    """RGB images, uint8 of shape (B, H, W, 3), as pixels in [0, 1], float32 of shape (B, 3, H, W), channels last."""
    return images_BHW3.permute(0, 3, 1, 2).to(torch.float32) / 255
