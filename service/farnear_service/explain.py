"""Where in an image its embedding comes from: Grad-CAM for metric learning (Yasuno et al., eq. 6-8).

    y = sum_m (U_m)^2 over the reduction layer U;  alpha_m = mean_xy dy/dA_m;  heat map = ReLU(sum_m alpha_m A_m)

with A the feature layer: the path through Torch, for every network. Where the gradient has a closed form, the bundle's
graph gives the same map without Torch (`Embedder.heatmaps`). Torch is imported by the first call, and by nothing else.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from farnear_service.bundle import Bundle
from farnear_service.errors import BundleError, PreconditionError
from farnear_service.types import ByteArray, FloatArray


class Explainer:
    """The Torch program of one bundle, loaded on first use; one call runs at a time."""

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        self._bundle = bundle
        self._threads = threads
        self._turn = threading.Lock()
        self._program: Any = None

    def heatmaps(self, images: Sequence[ByteArray]) -> list[FloatArray]:
        """A heat map, float32 of shape (h, w) and 0 or more, for each uint8 RGB image of shape (H, W, 3).

        Raises PreconditionError where the bundle has no Torch program or Torch is not installed.
        """
        with self._turn:
            program = self._load()
            import torch

            _, features, reduction = program(torch.from_numpy(np.stack(images)))
            # Each image's score depends on its own features alone, so the sum's gradient is every image's own.
            (gradient,) = torch.autograd.grad(reduction.square().sum(), features)
            weights = gradient.mean(dim=(2, 3), keepdim=True)
            maps = torch.relu((weights * features).sum(dim=1)).detach()
            return list(maps.to(torch.float32).numpy())

    def _load(self) -> Any:  # noqa: ANN401 - a torch module, whose type must not be imported here
        if self._program is None:
            path = self._bundle.torch_program
            if path is None:
                raise PreconditionError(f"bundle {self._bundle.name!r}: has no explain.pt2 to explain with")
            try:
                import torch
            except ImportError as error:
                raise PreconditionError(
                    "explain: this bundle needs Torch, which is not installed: pip install 'farnear[explain-torch]'"
                ) from error
            torch.set_num_threads(self._threads)
            try:
                self._program = torch.export.load(path).module()
            except Exception as error:  # whatever its archive, its JSON or its weights make Torch raise
                raise BundleError(f"bundle {self._bundle.name!r}: Torch does not load explain.pt2 ({error})") from error
        return self._program
