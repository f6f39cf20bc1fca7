"""The network of the paper that Farnear started from."""

from torch import Tensor, nn
from torch.nn import functional

from farnear_training.models.network import Network, Outputs, cosine_slope

FEATURE_MAPS = 128
REDUCTION = 128


class MnPairCnn(Network):
    """The network of Yasuno, Okano and Fujii (MN-pair contrastive damage representation).

    Conv3x3-ReLU-MaxPool with 8, 32 and 64 maps, Conv3x3-ReLU with 128 (`relu4`), FC1 128 with ReLU, FC2 D; no batch
    norm, no skips. At 160 x 160 pixels and D = 16 it has 6,650,704 parameters.

    Weights start as He et al. 2015 ("Delving Deep into Rectifiers") draw them, biases at 0. From Torch's own smaller
    start all embeddings are nearly one at first, and up to 700 steps passed, by chance, before the loss began to fall.

    Args:
        image_size: Width and height of the images in pixels, a multiple of 8.
        embedding_dim: D, at least 2.
    """

    name = "mn-pair-cnn"
    feature_layer = "relu4"
    reduction_layer = "fc1"
    closed_form = True

    def __init__(self, *, image_size: int, embedding_dim: int) -> None:
        super().__init__(image_size=image_size, embedding_dim=embedding_dim)
        if image_size < 8 or image_size % 8:
            raise ValueError(f"image_size: {image_size}; allowed is a multiple of 8, as three poolings halve it")
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

    def embed(self, pixels_B3HW: Tensor) -> Outputs:
        """Embeds pixels in [0, 1], float of shape (B, 3, H, W)."""
        maps = functional.max_pool2d(functional.relu(self.conv1(pixels_B3HW)), 2)
        maps = functional.max_pool2d(functional.relu(self.conv2(maps)), 2)
        maps = functional.max_pool2d(functional.relu(self.conv3(maps)), 2)
        features = functional.relu(self.conv4(maps))
        reduction = self.fc1(features.flatten(1))
        embedding = self.fc2(functional.relu(reduction))
        return Outputs(functional.normalize(embedding.float()), features, reduction)

    def channel_weights(self, outputs: Outputs, slope_BR: Tensor) -> Tensor:
        """Alpha of shape (B, K), as `Network.channel_weights` says.

        U = W1 A + b, so that dy/dA = W1^T dy/dU. Its mean over the places is Wbar^T dy/dU, where Wbar is W1's mean over
        the places: O(R K) an image.
        """
        mean_weight_RK = self.fc1.weight.reshape(REDUCTION, FEATURE_MAPS, -1).mean(dim=2)
        return slope_BR @ mean_weight_RK

    def reduction_slope(self, outputs: Outputs, targets_BD: Tensor) -> Tensor:
        """d(e . t)/dU of shape (B, R), as `Network.reduction_slope` says: back through FC2 and the ReLU before it."""
        active_BR = functional.relu(outputs.reduction)
        slope_BR = cosine_slope(self.fc2(active_BR), targets_BD) @ self.fc2.weight
        return slope_BR * (active_BR > 0)
