"""Do the heat maps of pairs show what makes two images alike, and what unlike?

The paper's network is trained on NEU steel. Pairs of images that it has not seen are judged, of three kinds:
look-alikes, those halfway, and those that are farthest apart. Pixels of the one image go, or come back, in the order of
its map, and the cosine with the other image tells what they were worth: deletion, insertion and ROAD
(farnear_training.evaluate.perturbation) with the other image in place of the image itself. Of unlike pairs it is minus
the cosine, by the map of the opposite target.

* `pair heat map`: the bundle's, Grad-CAM of the cosine with the lengths of the vectors held fixed (Zhu et al. 2019);
* `whole cosine`: Grad-CAM with the length of the image's own vector differentiated too;
* `place by place`: with the length fixed, features times the slope of their own place, where Grad-CAM takes the mean
  over all places; its sum is the cosine but for the bias;
* `random`: a map as coarse as these.

Beside that: the share of maps with nothing above 0 to be shown, and the median of their sum in parts of the cosine.
Figures have bootstrap 95 % intervals; differences are paired, pair by pair.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from conditions import print_conditions
from farnear_training import data
from farnear_training.evaluate import embed
from farnear_training.evaluate.faithfulness import enlarged
from farnear_training.evaluate.perturbation import MEASURES, curves
from farnear_training.losses import SupConLoss
from farnear_training.metrics import mean_intervals, retrieval
from farnear_training.models import Network
from farnear_training.train.loop import train
from farnear_training.train.settings import TrainSettings
from losses import halves, laid_out, told
from numpy.typing import NDArray
from tqdm import tqdm

OURS = "pair heat map"
TEST_FRACTION = 0.3
ALIKE, HALFWAY, FARTHEST = 0.97, (0.6, 0.9), 0.01
SAME = 0.9999
DRAWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=900)
    parser.add_argument("--pairs", type=int, default=60, help="of each kind, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    print_conditions("torch", "numpy")
    torch.set_num_threads(arguments.threads)

    size = arguments.image_size
    dataset = data.load(laid_out("neu", Path()), size, size, threads=arguments.threads)
    learned, test = halves(dataset, TEST_FRACTION)
    settings = TrainSettings(
        loss=SupConLoss(),
        image_size=size,
        iterations=arguments.iterations,
        batch_size=64,
        learning_rate=5e-4,
        augmentation="none",
        seed=arguments.seed,
        threads=arguments.threads,
    )
    with tempfile.TemporaryDirectory() as folder:
        model = train(learned, settings, checkpoints=Path(folder) / "checkpoint").model.eval()
    vectors = embed(model, test.images)
    worth = retrieval(vectors, test.labels)
    print(
        f"{model.name} at {size} px, {arguments.iterations} steps of {settings.batch_size} of {len(learned)} images;"
        f" {len(test)} test images: precision@1 {worth.precision_at_1:.3f}, MAP@R {worth.map_at_r:.3f}"
    )
    for kind, pairs, sign in kinds(vectors):
        order = np.random.default_rng(arguments.seed).permutation(len(pairs))[: arguments.pairs]
        judge(kind, model, test.images, vectors, pairs[order], sign, arguments.seed)


def kinds(vectors: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[np.int64], int]]:
    """Pairs of places, int64 of shape (P, 2), by what they are, with the sign of what is judged of them."""
    first, second = np.triu_indices(len(vectors), 1)
    cosines = (vectors[first] * vectors[second]).sum(axis=1)
    low, high = HALFWAY
    farthest = np.quantile(cosines, FARTHEST)
    for kind, chosen, sign in (
        (f"look-alikes, cosine above {ALIKE}", (cosines > ALIKE) & (cosines < SAME), 1),
        (f"halfway, {low} to {high}", (cosines > low) & (cosines < high), 1),
        (f"farthest apart, below {farthest:.2f}", cosines < farthest, -1),
    ):
        yield kind, np.stack([first[chosen], second[chosen]], axis=1), sign


def judge(
    kind: str,
    model: Network,
    images: NDArray[np.uint8],
    vectors: NDArray[np.float32],
    pairs: NDArray[np.int64],
    sign: int,
    seed: int,
) -> None:
    """Prints what becomes of the cosine as pixels go in the order of each map."""
    scores: dict[str, list[NDArray[np.float64]]] = {}
    shares: dict[str, list[float]] = {}
    empty: dict[str, list[bool]] = {}
    for one, other in tqdm(pairs, desc=kind, unit="pair", disable=None):
        target = sign * vectors[other]

        def toward(changed: NDArray[np.uint8], target: NDArray[np.float32] = target) -> NDArray[np.float32]:
            with torch.inference_mode():
                found: NDArray[np.float32] = model(torch.from_numpy(changed)).embedding.numpy()
            return np.concatenate([target[None], found[1:]])  # what the first is compared with

        for name, heatmap in maps_of(model, images[one], target, seed).items():
            importance = enlarged(heatmap[None], *images.shape[1:3])
            scores.setdefault(name, []).append(curves(images[one : one + 1], importance, toward, seed=seed).scores()[0])
            shares.setdefault(name, []).append(float(heatmap.sum() / (vectors[one] @ target)))
            empty.setdefault(name, []).append(bool((heatmap <= 0).all()))
    print_scores(kind, {name: np.stack(values) for name, values in scores.items()}, shares, empty)


def maps_of(
    model: Network, image: NDArray[np.uint8], target: NDArray[np.float32], seed: int
) -> Mapping[str, NDArray[np.float32]]:
    """Every map of an image's cosine with a target, each of shape (h, w)."""
    outputs, of = model(torch.from_numpy(image[None])), torch.from_numpy(target)
    length = outputs.vector.norm().detach()
    (whole,) = torch.autograd.grad(outputs.embedding[0] @ of, outputs.features, retain_graph=True)
    (fixed,) = torch.autograd.grad(outputs.vector[0] @ of / length, outputs.features, retain_graph=True)
    features = outputs.features.detach()
    ours = model.pair_heatmaps(outputs, of[None])[0, 0].detach().numpy()
    return {
        OURS: ours,
        "whole cosine": (whole.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1)[0].numpy(),
        "place by place": (fixed * features).sum(dim=1)[0].numpy(),
        "random": np.random.default_rng(seed).random(ours.shape, np.float32),
    }


def print_scores(
    kind: str,
    scores: Mapping[str, NDArray[np.float64]],
    shares: Mapping[str, list[float]],
    empty: Mapping[str, list[bool]],
) -> None:
    print(f"\n{kind}: {len(scores[OURS])} pairs; of deletion and ROAD the less, of insertion the more, the better\n")
    print(f"{'':<16}{'empty':<7}{'sum':<7}" + "".join(f"{measure:<27}" for measure in MEASURES), end="")
    print("".join(f"{f'ours less this, {measure}':<28}" for measure in MEASURES).rstrip())
    for name, values in scores.items():
        line = f"{name:<16}{np.mean(empty[name]):<7.2f}"
        line += f"{'' if name == 'random' else f'{np.median(shares[name]):.2f}':<7}"
        line += "".join(f"{told(one):<27}" for one in mean_intervals(values, draws=DRAWS, seed=0))
        if name != OURS:
            gains = mean_intervals(scores[OURS] - values, draws=DRAWS, seed=0)
            line += "".join(f"{told(one, '+.3f'):<28}" for one in gains)
        print(line.rstrip(), flush=True)


if __name__ == "__main__":
    main()
