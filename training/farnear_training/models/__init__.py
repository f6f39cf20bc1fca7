"""Networks: images -> embeddings, with the two inner layers that explain them, one network a file."""

from farnear_training.models.efficientnet_lite0 import EfficientNetLite0, WeightsError, freeze_backbone
from farnear_training.models.mn_pair_cnn import MnPairCnn
from farnear_training.models.network import Network, Outputs, to_pixels
from farnear_training.models.strided_cnn import StridedCnn

__all__ = [
    "NETWORKS",
    "EfficientNetLite0",
    "MnPairCnn",
    "Network",
    "Outputs",
    "StridedCnn",
    "WeightsError",
    "build",
    "freeze_backbone",
    "to_pixels",
]

NETWORKS: dict[str, type[Network]] = {network.name: network for network in (MnPairCnn, StridedCnn, EfficientNetLite0)}


def build(network: str, *, image_size: int, embedding_dim: int, pretrained: bool = True) -> Network:
    """A network to be trained.

    Args:
        network: A key of NETWORKS.
        image_size: Width and height of the images in pixels.
        embedding_dim: D.
        pretrained: Whether efficientnet-lite0 starts from its ImageNet weights; the others have none.

    Raises:
        ValueError: There is no such network, or it cannot take that image size or give that D.
        WeightsError: The pretrained weights are not installed.
    """
    if network not in NETWORKS:
        raise ValueError(f"network: {network!r}; allowed are {', '.join(NETWORKS)}")
    if network == EfficientNetLite0.name:
        return EfficientNetLite0(image_size=image_size, embedding_dim=embedding_dim, pretrained=pretrained)
    return NETWORKS[network](image_size=image_size, embedding_dim=embedding_dim)
