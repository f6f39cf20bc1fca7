"""Do the heat maps show where the damage is, and what an embedding comes from?

Two sets, on each of which the paper's network is trained:

* `drawn`: scratches and blobs drawn on solar cells or steel, where the place of the damage is known (`damage.py`).
  Judged by the pointing game (Zhang et al. 2016): the share of images whose map is largest in the damage, or no farther
  from it than the tolerance of that paper, 15 px at the 375 px of its images and as much of the side here, or than one
  place of the map;
* `steel`: NEU surface defects, whose places nobody has drawn.

On both, deletion, insertion and ROAD (farnear_training.evaluate.perturbation). Beside the heat map of the bundle, which
is Grad-CAM of the paper's score at `relu4`, stand maps that know nothing of the image, and others of the same score by
pytorch-grad-cam and by Torch. Test images were not learned from, nor were their textures, and settings were chosen on
those of seed 0. Figures have bootstrap 95 % intervals; differences are paired, image by image.

The checkpoints in `--output` make a stopped benchmark go on where it was. A sheet of examples goes there too.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import damage
import gradcam
import numpy as np
import torch
from conditions import print_conditions
from damage import Damaged
from farnear_training import data
from farnear_training.data import Dataset
from farnear_training.evaluate import embed
from farnear_training.evaluate.faithfulness import contenders, enlarged
from farnear_training.evaluate.perturbation import MEASURES, curves
from farnear_training.losses import MnPairLoss, SupConLoss
from farnear_training.metrics import mean_intervals, retrieval
from farnear_training.models import MnPairCnn
from farnear_training.train.loop import train
from farnear_training.train.settings import TrainSettings
from losses import halves, laid_out, told
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from pointing import PLACE, TOLERANCE, distances, in_outermost, maxima
from tqdm import tqdm

SETS = ("drawn", "steel")
OURS = "heatmap"
PEERS = {
    "Grad-CAM, relu3": ("GradCAM", "relu3"),
    "Grad-CAM++, relu4": ("GradCAMPlusPlus", "relu4"),
    "HiResCAM, relu4": ("HiResCAM", "relu4"),
}
DRAWN, DRAWN_TEST = 16000, 450
TEST_FRACTION = 0.3
DRAWS = 2000
SHOWN = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--textures", choices=damage.TEXTURES, default="elpv", help="what `drawn` draws on")
    parser.add_argument("--drawn-size", type=int, default=64)
    parser.add_argument("--drawn-iterations", type=int, default=1200)
    parser.add_argument("--drawn-learning-rate", type=float, default=5e-4, help="less for larger images")
    parser.add_argument("--steel-size", type=int, default=64)
    parser.add_argument("--steel-iterations", type=int, default=600)
    parser.add_argument("--images", type=int, default=100, help="for deletion, insertion and ROAD, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "farnear-faithful")
    arguments = parser.parse_args()
    print_conditions("torch", "numpy", "scipy", *([gradcam.PACKAGE] if gradcam.is_installed() else []))
    if not gradcam.is_installed():
        print(f"{gradcam.ABSENT}\n")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets:
        (run_drawn if name == "drawn" else run_steel)(arguments)


def run_drawn(arguments: argparse.Namespace) -> None:
    """Trains on drawn damage, prints the pointing game and the curves, draws the sheet."""
    learned, test = drawn(arguments.textures, arguments.drawn_size, arguments.seed)
    settings = TrainSettings(
        loss=SupConLoss(),
        image_size=arguments.drawn_size,
        iterations=arguments.drawn_iterations,
        batch_size=64,
        learning_rate=arguments.drawn_learning_rate,
        augmentation="none",
        seed=arguments.seed,
        threads=arguments.threads,
    )
    model = trained(f"drawn-{arguments.textures}", settings, learned.images, test.images, arguments.output)

    damaged = np.flatnonzero(test.masks.any(axis=(1, 2)))
    images, masks, labels = test.images.images[damaged], test.masks[damaged], test.images.labels[damaged]
    maps = all_maps(model, images, arguments.seed)
    print_pointing(maps, masks, [damage.CLASSES[label] for label in labels])
    judged = sample(len(images), arguments.images, arguments.seed)
    print_curves(model, images[judged], {name: one[judged] for name, one in maps.items()}, arguments.seed)
    path = arguments.output / f"drawn-{arguments.textures}.png"
    sheet(images[:SHOWN], masks[:SHOWN], {name: one[:SHOWN] for name, one in maps.items()}).save(path)
    print(f"examples  {path}: images, where the damage is, and a row of maps each of {', '.join(maps)}\n")


def run_steel(arguments: argparse.Namespace) -> None:
    """Trains on steel and prints the curves."""
    size = arguments.steel_size
    dataset = data.load(laid_out("neu", Path()), size, size, threads=arguments.threads)
    learned, test = halves(dataset, TEST_FRACTION)
    settings = TrainSettings(
        loss=MnPairLoss(m=len(test.class_names), n=len(test.class_names)),
        image_size=size,
        iterations=arguments.steel_iterations,
        batch_size=64,
        learning_rate=1e-3,
        seed=arguments.seed,
        threads=arguments.threads,
    )
    model = trained("steel", settings, learned, test, arguments.output)
    images = test.images[sample(len(test), arguments.images, arguments.seed)]
    print_curves(model, images, all_maps(model, images, arguments.seed), arguments.seed)


def drawn(kind: str, size: int, seed: int) -> tuple[Damaged, Damaged]:
    """Images to learn from and to judge, on textures of their own."""
    pictures = damage.textures(kind)
    order = np.random.default_rng(seed).permutation(len(pictures))
    cut = round(len(pictures) * (1 - TEST_FRACTION))
    learned, test = ([pictures[place] for place in places] for places in (order[:cut], order[cut:]))
    return damage.draw(learned, DRAWN, size, 2 * seed), damage.draw(test, DRAWN_TEST, size, 2 * seed + 1)


def trained(name: str, settings: TrainSettings, learned: Dataset, test: Dataset, output: Path) -> MnPairCnn:
    """The network after training, and what it is worth, printed."""
    run = train(learned, settings, checkpoints=output / f"{name}.checkpoint", resume=True)
    model = run.model
    assert isinstance(model, MnPairCnn)
    worth = retrieval(embed(model, test.images), test.labels)
    print(
        f"{name}: {model.name} at {settings.image_size} px, {settings.loss.name}, {settings.iterations} steps of"
        f" {settings.batch_size} of {len(learned)} images; {len(test)} test images of {len(test.class_names)} classes:"
        f" precision@1 {worth.precision_at_1:.3f}, MAP@R {worth.map_at_r:.3f}"
    )
    return model


def all_maps(model: MnPairCnn, images: NDArray[np.uint8], seed: int) -> Mapping[str, NDArray[np.float32]]:
    """The importance of each pixel by every method, each of shape (N, H, W); the bundle's own first."""
    height, width = images.shape[1:3]

    def own(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            own_maps: NDArray[np.float32] = model.heatmaps(model(torch.from_numpy(batch))).numpy()
        return own_maps

    maps = dict(contenders(gradcam.in_batches(own, images), height, width, seed))
    maps["input gradients"] = gradcam.in_batches(lambda batch: gradcam.input_gradients(model, batch), images)
    if gradcam.is_installed():
        for title, (method, layer) in PEERS.items():
            with gradcam.Peer(method, model, layer) as peer:
                maps[title] = enlarged(gradcam.in_batches(peer.raw, images), height, width)
    return maps


def print_pointing(maps: Mapping[str, NDArray[np.float32]], masks_NHW: NDArray[np.bool_], kinds: Sequence[str]) -> None:
    """Prints the pointing game by every map, and what the heat map has over each of the others."""
    side = masks_NHW.shape[2]
    allowed = {"in it": 0.0, "tolerance": TOLERANCE * side, "one place": PLACE}
    (share,) = mean_intervals(masks_NHW.mean(axis=(1, 2))[:, None], draws=DRAWS, seed=0)
    print(f"\npointing game, {len(masks_NHW)} images with damage, which covers {told(share)} of an image")
    print(
        f"tolerance {TOLERANCE:.3f} of the side, {allowed['tolerance']:.1f} px; a place of the map is {PLACE:.0f} px\n"
    )
    columns = [*allowed, *(f"{kind}, tolerance" for kind in ("scratch", "blob")), "heat map less this, tolerance"]
    print(f"{'':<20}" + "".join(f"{title:<24}" for title in columns).rstrip())
    away = {name: distances(one, masks_NHW) for name, one in maps.items()}
    for name, of_one in away.items():
        hits = np.stack([of_one <= limit for limit in allowed.values()], axis=1).astype(np.float64)
        cells = mean_intervals(hits, draws=DRAWS, seed=0)
        for kind in ("scratch", "blob"):
            of_kind = hits[np.array(kinds) == kind, 1:2]
            cells += mean_intervals(of_kind, draws=DRAWS, seed=0)
        line = f"{name:<20}" + "".join(f"{told(cell):<24}" for cell in cells)
        if name != OURS:
            gain = (away[OURS] <= allowed["tolerance"]) - hits[:, 1]
            line += told(mean_intervals(gain[:, None], draws=DRAWS, seed=0)[0], "+.3f")
        print(line.rstrip())
    quantiles = (f"{100 * q:.0f} % {np.quantile(away[OURS], q) / side:.3f}" for q in (0.5, 0.9, 0.95, 0.99))
    print(f"\nfrom the heat map's maximum to the damage, in parts of the side: {', '.join(quantiles)}")
    outermost = in_outermost(maps[OURS])
    for title in ("tolerance", "one place"):
        missed = away[OURS] > allowed[title]
        print(f"beyond {title}: {missed.sum()}, of which in outermost places {(missed & outermost).sum()}")


def print_curves(
    model: MnPairCnn, images: NDArray[np.uint8], maps: Mapping[str, NDArray[np.float32]], seed: int
) -> None:
    """Prints deletion, insertion and ROAD by every map, and what the heat map has over each of the others."""

    def vectors(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embeddings: NDArray[np.float32] = model(torch.from_numpy(batch)).embedding.numpy()
        return embeddings

    with tqdm(total=len(maps) * len(images), desc="curves", unit="map", disable=None) as bar:
        scores = {
            name: curves(images, one, vectors, seed=seed, progress=bar.update).scores() for name, one in maps.items()
        }
    print(f"\n{len(images)} images; cosine left: of deletion and ROAD the less, of insertion the more, the better\n")
    print(f"{'':<20}" + "".join(f"{measure:<24}" for measure in MEASURES), end="")
    print("".join(f"{f'map less this, {measure}':<26}" for measure in MEASURES).rstrip())
    for name, values in scores.items():
        line = f"{name:<20}" + "".join(f"{told(one):<24}" for one in mean_intervals(values, draws=DRAWS, seed=0))
        if name != OURS:
            gains = mean_intervals(scores[OURS] - values, draws=DRAWS, seed=0)
            line += "".join(f"{told(one, '+.3f'):<26}" for one in gains)
        print(line.rstrip())
    print(flush=True)


def sample(count: int, wanted: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).choice(count, min(count, wanted), replace=False))


def sheet(images: NDArray[np.uint8], masks: NDArray[np.bool_], maps: Mapping[str, NDArray[np.float32]]) -> Image.Image:
    """A row of images, one of where their damage is, and one of every kind of map, its maximum a green dot."""
    rows = [np.concatenate(images, axis=1), np.concatenate(np.where(masks[..., None], 255, images // 2), axis=1)]
    for one in maps.values():
        tiles = []
        for heat in one:
            tile = (colormaps["inferno"](heat / max(heat.max(), np.finfo(np.float32).tiny))[..., :3] * 255).astype(
                np.uint8
            )
            y, x = (int(one[0]) for one in maxima(heat[None]))
            tile[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = (0, 255, 0)
            tiles.append(tile)
        rows.append(np.concatenate(tiles, axis=1))
    return Image.fromarray(np.concatenate(rows).astype(np.uint8))


if __name__ == "__main__":
    main()
