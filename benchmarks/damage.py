"""Images of which it is known where the damage is: scratches and blobs drawn on real texture.

Three classes, `clean`, `scratch` and `blob`, share the same textures, so nothing but the drawing tells them apart. A
texture is a square part of an image, mirrored and turned at random. A scratch is a curve of a third to two thirds of
the side, a blob an ellipse of an eighth to a quarter of it. Both are darker or brighter than the texture's median by a
quarter to nearly half of the range, at a place drawn evenly.
"""

import io
import math
import tarfile
from dataclasses import dataclass

import numpy as np
from farnear.demo import cells
from farnear_training.data import Dataset
from losses import PACKS
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("clean", "scratch", "blob")
TEXTURES = ("neu", "elpv", "procedural")
_NEU = ("crazing", "pitted_surface", "rolled-in_scale")
_FINE = 4


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """Images and where their damage is: `masks`, bool of shape (N, H, W), none of it true for `clean`."""

    images: Dataset
    masks: NDArray[np.bool_]


def textures(kind: str) -> list[Image.Image]:
    """Grey pictures without marks of their own kind standing out, in an order that is always the same.

    `neu` takes the steel classes whose defect is a texture all over the image, `elpv` the monocrystalline cells graded
    free of defects, `procedural` draws smooth noise and needs no file.
    """
    if kind == "neu":
        with tarfile.open(PACKS / "neu_steel.tar") as archive:
            members = sorted(
                (member for member in archive if member.isfile() and member.name.split("/")[-2] in _NEU),
                key=lambda member: member.name,
            )
            return [_grey(archive, member) for member in members]
    if kind == "elpv":
        lines = (cells.source() / "labels.csv").read_text(encoding="utf-8").splitlines()
        rows = (line.split() for line in lines)
        return [
            Image.open(cells.source() / path).convert("L")
            for path, probability, wafer in rows
            if wafer == "mono" and float(probability) == 0
        ]
    generator = np.random.default_rng(0)
    return [_noise(generator) for _ in range(400)]


def draw(pictures: list[Image.Image], count: int, size: int, seed: int) -> Damaged:
    """`count` images of `size` x `size` px on these textures, a third of each class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    images = np.empty((count, size, size, 3), np.uint8)
    masks = np.zeros((count, size, size), np.bool_)
    for place, label in enumerate(labels):
        texture = _texture(pictures[generator.integers(len(pictures))], size, generator)
        alpha = _ALPHA[CLASSES[label]](size, generator)
        sign = generator.choice([-1, 1])
        shift = sign * generator.uniform(0.25, 0.45) * 255
        grey = np.clip(texture + alpha * (shift + np.median(texture) - texture), 0, 255)
        images[place] = grey.round().astype(np.uint8)[..., None]
        masks[place] = alpha > 0.5
    return Damaged(
        images=Dataset(
            item_ids=tuple(f"{CLASSES[label]}/{place:05}.png" for place, label in enumerate(labels)),
            images=images,
            labels=labels,
            class_names=CLASSES,
        ),
        masks=masks,
    )


def _texture(picture: Image.Image, size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    side = int(min(picture.size) * generator.uniform(0.7, 1))
    left, top = (int(generator.integers(length - side + 1)) for length in picture.size)
    part = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    turned = np.rot90(np.asarray(part, np.float64), int(generator.integers(4)))
    return turned[:, ::-1] if generator.integers(2) else turned


def _scratch(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """A quadratic Bezier curve whose middle is inside the image."""
    length = generator.uniform(0.3, 0.6) * size
    angle = generator.uniform(0, math.pi)
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    middle = generator.uniform(0.15, 0.85, 2) * size
    ends = middle - along * length / 2, middle + along * length / 2
    bend = middle + across * generator.uniform(-0.3, 0.3) * length
    t = np.linspace(0, 1, 33)[:, None]
    curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * bend + t**2 * ends[1]
    width = generator.uniform(0.025, 0.045) * size
    fine = Image.new("L", (size * _FINE, size * _FINE))
    ImageDraw.Draw(fine).line(
        [tuple(point) for point in curve * _FINE], fill=255, width=max(1, round(width * _FINE)), joint="curve"
    )
    return _alpha(fine, size)


def _blob(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    radii = generator.uniform(0.06, 0.13, 2) * size
    angle = generator.uniform(0, math.pi)
    middle = generator.uniform(0.12, 0.88, 2) * size
    t = np.linspace(0, 2 * math.pi, 49)
    x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
    edge = np.stack([math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y], axis=1)
    fine = Image.new("L", (size * _FINE, size * _FINE))
    ImageDraw.Draw(fine).polygon([tuple(point) for point in (middle + edge) * _FINE], fill=255)
    return _alpha(fine.filter(ImageFilter.GaussianBlur(_FINE)), size)


def _clean(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    return np.zeros((size, size))


_ALPHA = {"clean": _clean, "scratch": _scratch, "blob": _blob}


def _alpha(fine: Image.Image, size: int) -> NDArray[np.float64]:
    return np.asarray(fine.resize((size, size), Image.Resampling.BOX), np.float64) / 255


def _grey(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Image.Image:
    stream = archive.extractfile(member)
    assert stream is not None
    return Image.open(io.BytesIO(stream.read())).convert("L")


def _noise(generator: np.random.Generator) -> Image.Image:
    """Noise at four scales, each of half the strength of the coarser one."""
    total = np.zeros((200, 200))
    for scale in (4, 10, 25, 100):
        small = Image.fromarray(generator.normal(size=(scale, scale)).astype(np.float32))
        total += np.asarray(small.resize((200, 200), Image.Resampling.BICUBIC), np.float64) * 15 / math.sqrt(scale)
    return Image.fromarray(np.clip(128 + total * 4, 0, 255).astype(np.uint8))
