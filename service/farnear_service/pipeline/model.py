"""A bundle that is served: encoded images in, embeddings and heat maps out."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from farnear_service.batcher import Batcher
from farnear_service.bundle import Bundle
from farnear_service.embedder import Embedder
from farnear_service.errors import PreconditionError
from farnear_service.explain import Explainer
from farnear_service.image import ImageLimits, decode, draw, thumbnail
from farnear_service.metrics import Metrics
from farnear_service.types import ByteArray, FloatArray, Heatmap, HeatmapPicture, ImageRetention

MAX_BATCH = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """How a bundle is served.

    Attributes:
        image: What is accepted as an image.
        max_waiting: Images that may wait to be embedded.
        threads: Of ONNX Runtime and of Torch, each.
        explain_with_torch: Heat maps from Torch, also where the bundle's graph gives them.
    """

    image: ImageLimits = field(default_factory=ImageLimits)
    max_waiting: int = 256
    threads: int = 1
    explain_with_torch: bool = False


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """An encoded image with its `pixels` at the bundle's size, RGB, uint8 of shape (H, W, 3)."""

    data: bytes
    pixels: ByteArray


class Model:
    """Decoding, embedding and explaining under one bundle."""

    def __init__(self, bundle: Bundle, settings: ModelSettings, metrics: Metrics) -> None:
        self.bundle = bundle
        self._settings = settings
        self._metrics = metrics
        self._embedder = Embedder(bundle, threads=settings.threads)
        log.info("bundle %r embeds with %s", bundle.name, self._embedder.provider)
        explainer = Explainer(bundle, threads=settings.threads, loaded=metrics.torch_bytes.inc)
        with_torch = settings.explain_with_torch
        graph, alone, pairs = self._embedder, bundle.closed_form, bundle.pair_heatmaps
        self._heatmaps = graph.heatmaps if alone and not with_torch else explainer.heatmaps
        self._pair_heatmaps = graph.pair_heatmaps if pairs and not with_torch else explainer.pair_heatmaps
        self._batcher = Batcher[ByteArray, FloatArray](
            self._embed, max_batch=MAX_BATCH, max_waiting=settings.max_waiting
        )

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._batcher)

    async def decode(self, image: bytes) -> DecodedImage:
        """An encoded image, decoded; raises InvalidError for an unusable one."""
        return DecodedImage(data=image, pixels=await asyncio.to_thread(self._decode, image))

    async def embed(self, image: bytes, *, patient: bool) -> FloatArray:
        """The unit vector, float32 (D,), of an encoded image.

        Raises InvalidError for an unusable image, PreconditionError where the network gives it no direction, and
        OverloadedError with a full queue, unless `patient`, which waits.
        """
        submit = self._batcher.submit_patiently if patient else self._batcher.submit
        vector = await submit((await self.decode(image)).pixels)
        length = float(np.linalg.norm(vector))
        if not abs(length - 1) < 1e-3:  # a NaN is refused too
            raise PreconditionError(
                f"image: the bundle {self.bundle.name!r} gives it no direction, but a vector of length {length:.3g}"
            )
        return vector

    async def to_keep(self, image: bytes, retention: ImageRetention) -> bytes | None:
        """What is to be kept of an encoded image."""
        match retention:
            case ImageRetention.ORIGINAL:
                return image
            case ImageRetention.THUMBNAIL:
                return await asyncio.to_thread(thumbnail, image, self._settings.image)
            case ImageRetention.NONE:
                return None

    async def explain(
        self,
        images: Sequence[DecodedImage],
        targets: Sequence[Sequence[FloatArray | None]],
        *,
        picture: HeatmapPicture | None = None,
    ) -> list[list[Heatmap]]:
        """The heat maps of each image, one for each of its targets: unit vectors (D,), or None for the image alone.

        All images go through the network at once.
        """
        with self._metrics.stage("explain"):
            grids = await asyncio.to_thread(self._explain, images, targets)
            if picture is None:
                return [[Heatmap(values=grid) for grid in of_image] for of_image in grids]
            drawn = await asyncio.gather(
                *(
                    asyncio.to_thread(draw, image.data, of_image, self._settings.image, picture)
                    for image, of_image in zip(images, grids, strict=True)
                )
            )
        return [
            [Heatmap(values=grid, picture=png) for grid, png in zip(of_image, pngs, strict=True)]
            for of_image, pngs in zip(grids, drawn, strict=True)
        ]

    def _decode(self, image: bytes) -> ByteArray:
        with self._metrics.stage("decode"):
            return decode(image, self.bundle.width, self.bundle.height, self._settings.image)

    def _embed(self, images: Sequence[ByteArray]) -> Sequence[FloatArray]:
        with self._metrics.stage("embed"):
            return self._embedder.embed(images)

    def _explain(
        self, images: Sequence[DecodedImage], targets: Sequence[Sequence[FloatArray | None]]
    ) -> list[list[FloatArray]]:
        def pixels_where(is_asked: Callable[[FloatArray | None], bool]) -> dict[int, ByteArray]:
            return {place: images[place].pixels for place, asked in enumerate(targets) if any(map(is_asked, asked))}

        found: list[dict[bytes | None, FloatArray]] = [{} for _ in images]
        if alone := pixels_where(lambda target: target is None):
            for place, grid in zip(alone, self._heatmaps(list(alone.values())), strict=True):
                found[place][None] = grid
        if paired := pixels_where(lambda target: target is not None):
            # The hits of a query all have it as their target, so that there are few distinct ones.
            distinct = {target.tobytes(): target for asked in targets for target in asked if target is not None}
            of_pairs = self._pair_heatmaps(list(paired.values()), np.stack(list(distinct.values())))
            for place, grids in zip(paired, of_pairs, strict=True):
                found[place] |= zip(distinct, grids, strict=True)
        return [
            [grids[None if target is None else target.tobytes()] for target in asked]
            for grids, asked in zip(found, targets, strict=True)
        ]
