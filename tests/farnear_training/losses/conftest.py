import pytest
import torch
from torch import Tensor
from torch.nn import functional


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])  # 3 has no positive


@pytest.fixture
def embeddings() -> Tensor:
    """Unit vectors, float64 of shape (10, 4)."""
    return functional.normalize(torch.randn(10, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
