"""Where in an image its embedding comes from, and its likeness to another: Grad-CAM for metric learning.

    alpha_m = mean_xy dy/dA_m;  heat map = sum_m alpha_m A_m
    y = sum_m (U_m)^2 for an image alone (Yasuno et al., eq. 6-8), whose map is cut off below 0
    y = z . t / |z| for a pair (Zhu et al. 2019): the cosine of the image's vector z and the other side's t, with t and
    the length |z| held fixed, so that the map tells what the cosine is made of

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
        with self._turn:
            _, features, reduction, *_ = self._program_outputs(images)
            return list(_grad_cam(reduction.square().sum(), features).clamp(min=0).numpy())

    def pair_heatmaps(self, images: Sequence[ByteArray], targets_TD: FloatArray) -> FloatArray:
        """A heat map of each image and each target, float32 (B, T, h, w), signed; a backward pass for each target.

        `targets_TD` are the unit vectors of the other sides, float32 of shape (T, D). Raises PreconditionError as
        `heatmaps` does, and where the program is of a version that does not give the vector.
        """
        with self._turn:
            _, features, _, *vector = self._program_outputs(images)
            if not vector:
                raise PreconditionError(
                    f"bundle {self._bundle.name!r}: explains no pairs, as it was written by an older version; train it"
                    " again"
                )
            unit = vector[0] / vector[0].norm(dim=1, keepdim=True).detach()
            maps = [_grad_cam((unit @ unit.new_tensor(target)).sum(), features).numpy() for target in targets_TD]
            return np.stack(maps, axis=1)

    def _program_outputs(self, images: Sequence[ByteArray]) -> Any:  # noqa: ANN401 - torch tensors
        program = self._load()
        import torch

        return program(torch.from_numpy(np.stack(images)))

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


def _grad_cam(score: Any, features: Any) -> Any:  # noqa: ANN401 - torch tensors
    """Grad-CAM, float32 of shape (B, h, w), of a score summed over the batch, from features of shape (B, K, h, w)."""
    import torch

    # Each image's score depends on its own features alone, so the sum's gradient is every image's own.
    (gradient,) = torch.autograd.grad(score, features, retain_graph=True)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * features).sum(dim=1).detach().to(torch.float32)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # a system without Linux's files about processes
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
