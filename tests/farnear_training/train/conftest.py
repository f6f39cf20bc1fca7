import pytest
from farnear_training.losses import MnPairLoss
from farnear_training.train.settings import TrainSettings


@pytest.fixture(scope="session")
def quick() -> TrainSettings:
    """Settings of a run of six small steps, with draws in every part of a step."""
    return TrainSettings(
        loss=MnPairLoss(m=2, n=2),
        image_size=16,
        embedding_dim=4,
        iterations=6,
        batch_size=16,
        learning_rate=1e-3,
        augmentation="flips-erasing",
        checkpoint_every=2,
    )
