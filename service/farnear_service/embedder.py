"""Images to embeddings, and to heat maps where their gradient has a closed form, with ONNX Runtime."""

from collections.abc import Sequence

import numpy as np
import onnxruntime

from farnear_service.bundle import Bundle
from farnear_service.errors import BundleError
from farnear_service.types import ByteArray, FloatArray

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class Embedder:
    """The graph of one bundle, loaded. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # it warns of the default that `targets` has, which is meant
        # Threads that spin between two batches take the cores from decoding and from search.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = onnxruntime.get_available_providers()
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.model, options, providers=[name for name in PROVIDERS if name in available]
            )
            probe = np.zeros((bundle.height, bundle.width, 3), np.uint8)
            (embedding,) = self.embed([probe])
            if bundle.closed_form:
                self.heatmaps([probe])
            if bundle.pair_heatmaps:
                self.pair_heatmaps([probe], np.zeros((1, bundle.dim), np.float32))
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise BundleError(f"bundle {bundle.path}: model.onnx is not what bundle.json says ({error})") from error
        if embedding.shape != (bundle.dim,):
            came = embedding.size
            raise BundleError(f"bundle {bundle.path}: model.onnx gives {came} values, bundle.json says {bundle.dim}")

    @property
    def provider(self) -> str:
        """The execution provider in use."""
        return str(self._session.get_providers()[0])

    def embed(self, images: Sequence[ByteArray]) -> Sequence[FloatArray]:
        """Unit vectors, float32 of shape (D,), one for each uint8 RGB image of shape (H, W, 3)."""
        (embeddings_BD,) = self._session.run(["embedding"], {"images": np.stack(images)})
        return list(np.asarray(embeddings_BD, np.float32))

    def heatmaps(self, images: Sequence[ByteArray]) -> Sequence[FloatArray]:
        """Grad-CAM in closed form (Yasuno et al., eq. 6-8), float32 of shape (h, w) and 0 or more, for each image.

        Only where the bundle's `closed_form` holds.
        """
        (heatmaps_Bhw,) = self._session.run(["heatmap"], {"images": np.stack(images)})
        return list(np.asarray(heatmaps_Bhw, np.float32))

    def pair_heatmaps(self, images: Sequence[ByteArray], targets_TD: FloatArray) -> FloatArray:
        """Where each image's cosine with each target comes from (Zhu et al. 2019), float32 (B, T, h, w), signed.

        `targets_TD` are the embeddings of the other sides, float32 of shape (T, D). Only where the bundle's
        `pair_heatmaps` holds.
        """
        given = {"images": np.stack(images), "targets": targets_TD}
        (heatmaps_BThw,) = self._session.run(["pair_heatmaps"], given)
        return np.asarray(heatmaps_BThw, np.float32)
