"""Fixtures for all tests: small real bundles and pictures, made on the spot."""

import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

if TYPE_CHECKING:
    from farnear_service.pipeline import Pipeline

os.environ.setdefault("OMP_NUM_THREADS", "1")

SIZE = 16
DIM = 4


def png(pixels: NDArray[np.uint8], image_format: str = "PNG") -> bytes:
    """An encoded picture of uint8 pixels (H, W, 3) or (H, W)."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, image_format)
    return out.getvalue()


def picture(seed: int, size: int = SIZE) -> bytes:
    """A PNG of coloured noise blocks; another for every seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return png(blocks.repeat(size // 4, axis=0).repeat(size // 4, axis=1))


def canonical_digest(description: dict[str, Any]) -> str:
    """The digest of a bundle, from its definition in ARCHITECTURE.md."""
    content = {key: value for key, value in description.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_bundle(path: Path, *, seed: int = 0, dim: int = DIM) -> Path:
    """A bundle whose network is 4x4 average pooling and one seeded linear layer; without a Torch program."""
    path.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(3 * (SIZE // 4) ** 2, dim)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["float", "middle"], ["centred"]),
            helper.make_node("Transpose", ["centred"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("AveragePool", ["planes"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["raw"]),
            helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", dim])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(127.5, np.float32), "middle"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path / "model.onnx")
    description: dict[str, Any] = {
        "schema_version": 1,
        "name": "tiny",
        "created": "2026-01-01T00:00:00Z",
        "image": {"width": SIZE, "height": SIZE, "colour": "RGB", "resize": "pillow-bilinear"},
        "embedding": {"dim": dim, "metric": "cosine"},
        "explain": {"feature_layer": "none", "reduction_layer": "none"},
        "class_names": [],
        "training": {"seed": seed},
        "dataset": {},
        "evaluation": {},
        "files": {"model.onnx": hashlib.sha256((path / "model.onnx").read_bytes()).hexdigest()},
    }
    description["digest"] = canonical_digest(description)
    (path / "bundle.json").write_text(json.dumps(description))
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle for 16 x 16 images and 4-d embeddings."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the same shape with other weights, and so another digest."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "other", seed=1)


@pytest.fixture(scope="session")
def make_picture() -> Callable[[int], bytes]:
    """`picture`, as a fixture."""
    return picture


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """`image` as a file."""
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


@pytest.fixture(scope="session")
def still_pictures() -> dict[str, bytes]:
    """Every kind of still picture that is accepted, by name: formats, pixel modes, orientations and odd sizes."""
    random = np.random.default_rng(0)
    rgb = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    alpha = Image.fromarray(random.integers(0, 256, (30, 40, 4), dtype=np.uint8), "RGBA")
    deep = Image.fromarray(np.linspace(0, 65535, 1200).reshape(30, 40).astype(np.uint16))
    scene = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((900, 700))
    pictures = {
        "jpeg": encoded(rgb, "JPEG", quality=90),
        "jpeg large enough for a scaled decode": encoded(scene, "JPEG", quality=90),
        "jpeg progressive": encoded(scene, "JPEG", progressive=True),
        "jpeg grey": encoded(rgb.convert("L"), "JPEG"),
        "jpeg grey, large": encoded(scene.convert("L"), "JPEG"),
        "jpeg cmyk": encoded(rgb.convert("CMYK"), "JPEG"),
        "jpeg one pixel": encoded(rgb.resize((1, 1)), "JPEG"),
        "jpeg one pixel high": encoded(rgb.resize((300, 1)), "JPEG"),
        "png": encoded(rgb, "PNG"),
        "png grey": encoded(rgb.convert("L"), "PNG"),
        "png grey, 16 bit": encoded(deep, "PNG"),
        "png black and white": encoded(rgb.convert("1"), "PNG"),
        "png palette": encoded(rgb.quantize(16), "PNG"),
        "png palette with a clear colour": encoded(rgb.quantize(16), "PNG", transparency=3),
        "png alpha": encoded(alpha, "PNG"),
        "png grey with alpha": encoded(alpha.convert("LA"), "PNG"),
        "png one pixel": encoded(rgb.resize((1, 1)), "PNG"),
        "webp lossy": encoded(rgb, "WEBP"),
        "webp lossless with alpha": encoded(alpha, "WEBP", lossless=True),
        "bmp": encoded(rgb, "BMP"),
        "bmp palette": encoded(rgb.quantize(16), "BMP"),
        "tiff": encoded(rgb, "TIFF"),
        "tiff lzw": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "tiff cmyk": encoded(rgb.convert("CMYK"), "TIFF"),
        "tiff lab": encoded(Image.new("LAB", (9, 7), (120, 140, 90)), "TIFF"),
        "tiff grey, 16 bit": encoded(deep, "TIFF"),
        "tiff grey, 32 bit": encoded(Image.fromarray(np.asarray(deep).astype(np.int32)), "TIFF"),
        "tiff grey, 32 bit, small values": encoded(Image.fromarray(np.asarray(rgb)[..., 0].astype(np.int32)), "TIFF"),
        "tiff grey, float": encoded(Image.fromarray(np.asarray(rgb)[..., 0].astype(np.float32)), "TIFF"),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        pictures[f"jpeg turned, {orientation}"] = encoded(rgb, "JPEG", exif=exif)
        pictures[f"png turned, {orientation}"] = encoded(rgb, "PNG", exif=exif)
    return pictures


@pytest.fixture(scope="session")
def refused_pictures(still_pictures: dict[str, bytes]) -> dict[str, bytes]:
    """What is no complete, still picture in an accepted format, by name."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    several: dict[str, Any] = {"save_all": True, "append_images": frames[1:]}
    cut = {f"{name}, cut in half": data[: len(data) // 2] for name, data in still_pictures.items() if "one" not in name}
    return {
        **cut,
        "empty": b"",
        "text": b"no picture at all\n",
        "zeros": bytes(1000),
        "gif": encoded(frames[0], "GIF"),
        "gif, animated": encoded(frames[0], "GIF", **several),
        "webp, animated": encoded(frames[0], "WEBP", **several),
        "png, animated": encoded(frames[0], "PNG", **several),
        "tiff, several pages": encoded(frames[0], "TIFF", **several),
        "ppm": encoded(frames[0], "PPM"),
        "ico": encoded(frames[0], "ICO"),
        "png header alone": still_pictures["png"][:33],
        "jpeg start alone": b"\xff\xd8\xff\xe0",
        "tiff start alone": b"II*\x00\x08\x00\x00\x00",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "png of 50,000 x 50,000 pixels by its header": png_header(50_000, 50_000),
        "png without pixels": png_header(0, 0),
    }


def png_header(width: int, height: int) -> bytes:
    """A PNG file of some dozen bytes that promises `width` x `height` pixels and has none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Path]:
    """`write_bundle`, as a fixture."""
    return write_bundle


@pytest.fixture(scope="session")
def seal_bundle() -> Callable[[Path], str]:
    """Brings the sums and the digest of a changed bundle up to date, and returns the digest."""

    def seal(path: Path) -> str:
        description = json.loads((path / "bundle.json").read_text())
        for name in description["files"]:
            description["files"][name] = hashlib.sha256((path / name).read_bytes()).hexdigest()
        description["digest"] = canonical_digest(description)
        (path / "bundle.json").write_text(json.dumps(description))
        return str(description["digest"])

    return seal


@pytest.fixture
def opened(tmp_path: Path, tiny_bundle: Path) -> "Callable[..., AbstractAsyncContextManager[Pipeline]]":
    """Opens a pipeline with the tiny bundle as "tiny", on one data directory in one test; for `async with`.

    Its maps are small: perplexity 8 and 5 items for a core point.
    """

    @asynccontextmanager
    async def open_pipeline(**changes: Any) -> "AsyncIterator[Pipeline]":
        from farnear_service.maps import MapSettings
        from farnear_service.metrics import Metrics
        from farnear_service.pipeline import Catalog, CatalogSettings, Limits, ModelSettings, Pipeline

        metrics = changes.pop("metrics", None) or Metrics()
        bundles = changes.pop("bundles", {"tiny": tiny_bundle})
        limits = changes.pop("limits", Limits())
        model = ModelSettings(**changes)
        settings = CatalogSettings(model=model, map=MapSettings(perplexity=8, min_samples=5))
        catalog = await Catalog.open(tmp_path / "data", bundles, settings, metrics)
        try:
            yield Pipeline(catalog, metrics, limits)
        finally:
            await catalog.close()

    return open_pipeline


@pytest.fixture
def quick_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps are kept current without pauses, and fitted in a thread: a process takes seconds to start."""
    import asyncio

    from farnear_service.pipeline import living_map

    monkeypatch.setattr(living_map, "SETTLE_SECONDS", 0.001)
    monkeypatch.setattr(living_map, "QUIET_SECONDS", 0.005)
    monkeypatch.setattr(living_map, "run_in_process", asyncio.to_thread)
