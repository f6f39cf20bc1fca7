"""A bundle's graph, run by ONNX Runtime: images -> embeddings and, where it gives them, heat maps."""

from collections.abc import Callable

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from farnear_training.evaluate.bundle import Bundle, BundleError

_BATCH = 32
_ERRORS = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
)


class Graph:
    """`model.onnx` of a bundle, loaded; raises BundleError where it cannot be.

    Images are RGB, uint8 of shape (N, height, width, 3), as many as come.

    Args:
        bundle: A checked one.
        threads: CPU threads.
    """

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        self._bundle = bundle
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # it warns of an input's default, which is meant
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.path / "model.onnx", options, providers=["CPUExecutionProvider"]
            )
        except _ERRORS as error:
            raise self._unusable(error) from error

    @property
    def has_heatmaps(self) -> bool:
        """Whether it gives heat maps too."""
        return "heatmap" in {output.name for output in self._session.get_outputs()}

    def embed(
        self, images: NDArray[np.uint8], progress: Callable[[int], object] = lambda count: None
    ) -> NDArray[np.float32]:
        """Unit vectors, float32 of shape (N, dim); `progress` is told how many images each batch had.

        Raises BundleError where the graph gives anything else.
        """
        vectors = self._run("embedding", images, progress)
        if vectors.shape != (len(images), self._bundle.dim):
            raise BundleError(
                f"bundle {self._bundle.path}: model.onnx gives {vectors.shape[1:]} values,"
                f" bundle.json says {self._bundle.dim}"
            )
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):  # a NaN fails too
            raise BundleError(f"bundle {self._bundle.path}: model.onnx gives vectors that are not of unit length")
        return vectors

    def heatmaps(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Heat maps, float32 of shape (N, h, w) and 0 or more, where `has_heatmaps`.

        Raises BundleError where the graph gives anything else.
        """
        maps = self._run("heatmap", images, lambda count: None)
        if maps.ndim != 3 or len(maps) != len(images) or not (maps >= 0).all():  # a NaN fails too
            raise BundleError(f"bundle {self._bundle.path}: model.onnx gives heat maps that are none")
        return maps

    def _run(self, output: str, images: NDArray[np.uint8], progress: Callable[[int], object]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            try:
                (part,) = self._session.run([output], {"images": batch})
            except (*_ERRORS, ValueError) as error:
                raise self._unusable(error) from error
            parts.append(part)
            progress(len(batch))
        return np.concatenate(parts).astype(np.float32)

    def _unusable(self, error: Exception) -> BundleError:
        return BundleError(f"bundle {self._bundle.path}: model.onnx cannot be run ({error})")
