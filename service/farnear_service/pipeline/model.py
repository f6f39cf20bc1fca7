"""A bundle that is served: encoded images in, embeddings and heat maps out."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from farnear_service.batcher import Batcher
from farnear_service.bundle import Bundle
from farnear_service.embedder import Embedder
from farnear_service.explain import Explainer
from farnear_service.image import ImageLimits, decode, overlay
from farnear_service.metrics import Metrics
from farnear_service.types import ByteArray, FloatArray, Heatmap

MAX_BATCH = 32


class Model:
    """Decoding, embedding and explaining under one bundle."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        limits: ImageLimits,
        max_waiting: int,
        threads: int,
        explain_with_torch: bool = False,
        metrics: Metrics,
    ) -> None:
        self.bundle = bundle
        self._limits = limits
        self._metrics = metrics
        self._embedder = Embedder(bundle, threads=threads)
        explainer = Explainer(bundle, threads=threads)
        self._heatmaps = (
            self._embedder.heatmaps if bundle.closed_form and not explain_with_torch else explainer.heatmaps
        )
        self._batcher = Batcher[ByteArray, FloatArray](self._embed, max_batch=MAX_BATCH, max_waiting=max_waiting)

    @property
    def provider(self) -> str:
        """ONNX Runtime's execution provider in use."""
        return self._embedder.provider

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._batcher)

    async def embed(self, image: bytes, *, patient: bool) -> FloatArray:
        """The unit vector, float32 (D,), of an encoded image.

        Raises InvalidError for an unusable image; OverloadedError with a full queue, unless `patient`, which waits.
        """
        pixels = await asyncio.to_thread(self._decode, image)
        submit = self._batcher.submit_patiently if patient else self._batcher.submit
        return await submit(pixels)

    async def explain(self, images: Sequence[bytes], *, picture: bool) -> list[Heatmap]:
        """A heat map for each encoded image, all of which must have been checked with `check`."""
        return await asyncio.to_thread(self._explain, images, picture)

    async def check(self, image: bytes) -> bytes:
        """The encoded image itself; raises InvalidError where it cannot be decoded."""
        await asyncio.to_thread(self._decode, image)
        return image

    def _decode(self, image: bytes) -> ByteArray:
        with self._metrics.stage("decode"):
            return decode(image, self.bundle.width, self.bundle.height, self._limits)

    def _embed(self, images: Sequence[ByteArray]) -> Sequence[FloatArray]:
        with self._metrics.stage("embed"):
            return self._embedder.embed(images)

    def _explain(self, images: Sequence[bytes], picture: bool) -> list[Heatmap]:
        with self._metrics.stage("explain"):
            answers: list[Heatmap] = []
            for start in range(0, len(images), MAX_BATCH):
                chunk = images[start : start + MAX_BATCH]
                maps = self._heatmaps([self._decode(image) for image in chunk])
                for image, values in zip(chunk, maps, strict=True):
                    drawn = overlay(image, values, self._limits) if picture else b""
                    answers.append(Heatmap(values=values, picture=drawn))
            return answers


def model_path(data_dir: Path, digest: str) -> Path:
    """Where the bundle `digest` lies in a data directory."""
    return data_dir / "bundles" / digest
