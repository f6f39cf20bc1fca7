"""Where in an image its embedding comes from, and its likeness to another: Grad-CAM for metric learning.

    alpha_m = mean_xy dy/dA_m;  heat map = sum_m alpha_m A_m
    y = sum_m (U_m)^2 for an image alone (Yasuno et al., eq. 6-8), whose map is cut off below 0
    y = e . t for a pair (Zhu et al. 2019): the embedding and the other side's, which is held fixed

with A the feature layer and U the reduction layer: the path through Torch, for every network. Where the gradient has a
closed form, the bundle's graph gives the same maps without Torch (`Embedder`). Torch is imported by the first call, and
by nothing else.
"""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from farnear_service.bundle import Bundle
from farnear_service.errors import BundleError, PreconditionError
from farnear_service.types import ByteArray, FloatArray


class Explainer:
    """The Torch program of one bundle, loaded on first use; one call runs at a time.

    `loaded` is told how many bytes of memory that took, Torch included where it is the first; 0 but on Linux.
    """

    def __init__(self, bundle: Bundle, *, threads: int, loaded: Callable[[int], None] = lambda _: None) -> None:
        self._bundle = bundle
        self._threads = threads
        self._loaded = loaded
        self._turn = threading.Lock()
        self._program: Any = None

    def heatmaps(self, images: Sequence[ByteArray]) -> list[FloatArray]:
        """A heat map, float32 of shape (h, w) and 0 or more, for each uint8 RGB image of shape (H, W, 3).

        Raises PreconditionError where the bundle has no Torch program or Torch is not installed.
        """
        maps = self._grad_cam(images, lambda _, reduction: reduction.square().sum())
        return [np.maximum(values, 0) for values in maps]

    def pair_heatmaps(self, images: Sequence[ByteArray], targets: FloatArray) -> list[FloatArray]:
        """A heat map, float32 of shape (h, w) and signed, for each image and its target, float32 of shape (B, D).

        Raises PreconditionError as `heatmaps` does.
        """
        return self._grad_cam(images, lambda embedding, _: (embedding * embedding.new_tensor(targets)).sum())

    def _grad_cam(self, images: Sequence[ByteArray], score: Callable[[Any, Any], Any]) -> list[FloatArray]:
        """Grad-CAM of a score of embedding (B, D) and reduction (B, R), summed over the batch."""
        with self._turn:
            program = self._load()
            import torch

            embedding, features, reduction = program(torch.from_numpy(np.stack(images)))
            # Each image's score depends on its own features alone, so the sum's gradient is every image's own.
            (gradient,) = torch.autograd.grad(score(embedding, reduction), features)
            weights = gradient.mean(dim=(2, 3), keepdim=True)
            maps = (weights * features).sum(dim=1).detach()
            return list(maps.to(torch.float32).numpy())

    def _load(self) -> Any:  # noqa: ANN401 - a torch module, whose type must not be imported here
        if self._program is None:
            path = self._bundle.torch_program
            if path is None:
                raise PreconditionError(f"bundle {self._bundle.name!r}: has no explain.pt2 to explain with")
            before = _resident_bytes()
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
            self._loaded(_resident_bytes() - before)
        return self._program


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # a system without Linux's files about processes
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
