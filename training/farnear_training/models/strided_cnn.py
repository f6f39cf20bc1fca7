"""A small network for small images, such as CIFAR-10 (32 x 32) and MNIST (28 x 28)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from farnear_training.models.network import Network, Outputs

WIDTHS = (32, 64, 128, 256)
SLOPE = 0.2


class StridedCnn(Network):
    """Four strided convolutions and one that is the embedding; no pooling, no fully connected layer.

    Conv2x2 with stride 2, LeakyReLU 0.2 and batch norm with 32, 64, 128 and 256 maps (the last are `norm4`), then
    Conv2x2 with stride 1 (`conv5`) and a sigmoid. Pixels are centred, to -1..1. Odd sides are padded by a row and a
    column of zeros at the bottom and on the right, so the side halves four times, rounded up, and conv5 keeps it. Its
    maps, flattened, are the embedding: from 28 or 32 pixels 8 maps of 2 x 2 give 32 values, with 182,056 parameters in
    all.

    Grad-CAM weighs the 256 maps of `norm4`, the last layer before the embedding, by the gradient of conv5 before its
    sigmoid. Its places are 16 pixels wide: a 32-pixel image has a heat map of 2 x 2.

    A grey image comes as RGB with three equal channels. The first layer then acts as a convolution of one channel whose
    kernel is the sum over its three, and that sum is drawn as He et al. draw a kernel for one channel: three variances
    of a third each. So no second variant is needed; only a step of SGD moves that sum three times as far.

    As a sigmoid is positive, so are all cosines between embeddings. Weights start as He et al. 2015 draw them for
    LeakyReLU, biases at 0.

    Args:
        image_size: Width and height of the images in pixels, at least 16.
        embedding_dim: D, a multiple of the places of conv5: of 4 at 28 and 32 pixels, of 16 at 64.
    """

    name = "strided-cnn"
    feature_layer = "norm4"
    reduction_layer = "conv5"
    closed_form = True

    def __init__(self, *, image_size: int, embedding_dim: int) -> None:
        super().__init__(image_size=image_size, embedding_dim=embedding_dim)
        if image_size < 16:
            raise ValueError(f"image_size: {image_size}; allowed is 16 or more, as four strides halve it")
        places = (-(-image_size // 16)) ** 2
        if embedding_dim % places:
            raise ValueError(
                f"embedding_dim: {embedding_dim}; at image_size {image_size} allowed is a multiple of {places},"
                " as every place gives as many values"
            )
        widths = (3, *WIDTHS)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip(widths, WIDTHS, strict=False))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        self.conv5 = nn.Conv2d(WIDTHS[-1], embedding_dim // places, 2)
        for conv in (*self.convs, self.conv5):
            nn.init.kaiming_normal_(conv.weight, a=SLOPE)
            nn.init.zeros_(conv.bias)

    def embed(self, pixels_B3HW: Tensor) -> Outputs:
        """Embeds pixels in [0, 1], float of shape (B, 3, H, W)."""
        # Centred: batch norm blows up the little that low-contrast images leave, and from 0..1 the rounding with it.
        # After 300 steps on steel at 64 pixels ONNX Runtime and Torch were 1.3e-5 apart; centred they are 3.5e-6.
        features = 2 * pixels_B3HW - 1
        for conv, norm in zip(self.convs, self.norms, strict=True):
            odd = features.shape[-1] % 2
            features = norm(functional.leaky_relu(conv(functional.pad(features, (0, odd, 0, odd))), SLOPE))
        reduction = self.conv5(functional.pad(features, (0, 1, 0, 1))).flatten(1)
        vector = torch.sigmoid(reduction.float())
        return Outputs(functional.normalize(vector), features, reduction, vector)

    def channel_weights(self, outputs: Outputs, slope_BR: Tensor) -> Tensor:
        """Alpha of shape (B, K), as `Network.channel_weights` says.

        conv5 is linear in its padded input, so dy/dA is its transposed convolution of dy/dU without the padding. Its
        mean over the places is (1 / places) sum_ij W_ij S_ij, S_ij being the sum of dy/dU over the places whose window
        has its pixel i, j within A. That is O(M K) an image, where the whole of dy/dA takes as long as the rest of the
        network.
        """
        side = outputs.features.shape[-1]
        slope_BMhw = slope_BR.reshape(-1, self.conv5.out_channels, side, side)
        sums_BM4 = torch.stack(
            [slope_BMhw[..., : side - i, : side - j].sum(dim=(2, 3)) for i in range(2) for j in range(2)], dim=2
        )
        return torch.einsum("bmi,mki->bk", sums_BM4, self.conv5.weight.flatten(2)) / side**2

    def reduction_slope(self, outputs: Outputs, targets_TD: Tensor) -> Tensor:
        """d(z . t)/dU of shape (B, T, R), as `Network.reduction_slope` says: back through the sigmoid."""
        return targets_TD * (outputs.vector * (1 - outputs.vector))[:, None]
