"""The network of the paper that Farnear started from."""

from torch import Tensor, nn
from torch.nn import functional

from farnear_training.models.network import Network, Outputs

FEATURE_MAPS = 128
REDUCTION = 128


class MnPairCnn(Network):
    """The network of Yasuno, Okano and Fujii (MN-pair contrastive damage representation).

    Conv3x3-ReLU-MaxPool with 8, 32 and 64 maps, Conv3x3-ReLU with 128 (`relu4`), FC1 128 with ReLU, FC2 D; no batch
    norm, no skips. At 160 x 160 pixels and D = 16 it has 6,650,704 parameters.

    At the border the convolutions go on with the nearest pixel or feature. With zeros there, as most networks have
    them, an image seems to lie in a black frame, and heat maps light up on it: 87 of the 91 maxima that were more than
    a place away from drawn damage lay there, at 128 x 128 pixels.

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
        self.conv1 = _conv3(3, 8)
        self.conv2 = _conv3(8, 32)
        self.conv3 = _conv3(32, 64)
        self.conv4 = _conv3(64, FEATURE_MAPS)
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
        vector = self.fc2(functional.relu(reduction)).float()
        return Outputs(functional.normalize(vector), features, reduction, vector)

    def channel_weights(self, outputs: Outputs, slope_BR: Tensor) -> Tensor:
        """Alpha of shape (B, K), as `Network.channel_weights` says.

        U = W1 A + b, so that dy/dA = W1^T dy/dU. Its mean over the places is Wbar^T dy/dU, where Wbar is W1's mean over
        the places: O(R K) an image.
        """
        mean_weight_RK = self.fc1.weight.reshape(REDUCTION, FEATURE_MAPS, -1).mean(dim=2)
        return slope_BR @ mean_weight_RK

    def reduction_slope(self, outputs: Outputs, targets_TD: Tensor) -> Tensor:
        """d(z . t)/dU of shape (B, T, R), as `Network.reduction_slope` says: back through FC2 and its ReLU."""
        return (targets_TD @ self.fc2.weight) * (outputs.reduction > 0)[:, None]


def _conv3(maps: int, wider: int) -> nn.Conv2d:
    """3 x 3, as many places out as in."""
    return nn.Conv2d(maps, wider, 3, padding=1, padding_mode="replicate")
