"""What does a heat map cost beside the embedding, and what would it cost by Torch?

The paper's network, trained for a few steps and exported, by ONNX Runtime: a graph that gives the embedding alone, cut
out of the bundle's (the baseline), the bundle's graph asked for the embedding, and for embedding and heat map in one
call. By Torch, two ways. The service's fallback with `explain.pt2` goes forward through the whole network and back to
the feature layer only, so that it does little more work than the graph. What is done elsewhere goes back through the
whole network: plainly, with `backward()`, and by pytorch-grad-cam, where it is installed. Score and layer are the same.
The ways take turns, each round beginning with another, so that a neighbour on the machine slows all alike; ratios are
of one round, and their median counts. At the end, ONNX Runtime's profiler tells where the time of the graph goes.

Before anything is timed, all must give the same maps: on every image at most 1e-4 of the map's maximum apart.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import damage
import gradcam
import numpy as np
import onnx.utils
import onnxruntime
import torch
from conditions import print_conditions
from farnear_service.bundle import load_bundle
from farnear_service.explain import Explainer
from farnear_training.export import Provenance, export
from farnear_training.losses import SupConLoss
from farnear_training.models import MnPairCnn
from farnear_training.train.loop import train
from farnear_training.train.settings import TrainSettings
from numpy.typing import NDArray

BASELINE = "embedding alone, ONNX"
ASKED = "embedding of the bundle, ONNX"
BOTH = "embedding + heat map, ONNX"
FALLBACK = "heat map, Torch fallback"
PLAIN = "heat map, Torch, all the way"
PEER = "heat map, pytorch-grad-cam"
BATCHES = (1, 32)
IMAGES = 32
TOLERANCE = 1e-4
WARM_UP = 2
PROFILED = 60
TOLD = 0.02

Way = Callable[[NDArray[np.uint8]], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20, help="measured ones, each of 32 images in every way")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    installed = gradcam.is_installed()
    print_conditions("torch", "onnxruntime", "numpy", *([gradcam.PACKAGE] if installed else []))
    if not installed:
        print(f"{gradcam.ABSENT}\n")

    images = damage.draw(damage.textures("procedural"), 128, arguments.image_size, 0).images
    settings = TrainSettings(
        loss=SupConLoss(),
        image_size=arguments.image_size,
        iterations=arguments.iterations,
        batch_size=32,
        learning_rate=5e-4,
        threads=arguments.threads,
    )
    with tempfile.TemporaryDirectory() as folder:
        model = train(images, settings, checkpoints=Path(folder) / "checkpoint").model
        assert isinstance(model, MnPairCnn)
        path = Path(folder) / "explained"
        export(model, path, provenance(images.class_names), parity_images=images.images[:IMAGES])
        torch.set_num_threads(arguments.threads)
        shown = images.images[:IMAGES]
        if installed:
            with gradcam.Peer("GradCAM", model, "relu4") as peer:
                measure(path, model, shown, arguments, peer)
        else:
            measure(path, model, shown, arguments, None)
        for size in BATCHES:
            print_profile(path, shown[:size], arguments.threads)


def measure(
    path: Path, model: MnPairCnn, images: NDArray[np.uint8], arguments: argparse.Namespace, peer: gradcam.Peer | None
) -> None:
    """Checks that all ways give the same maps, then times them."""
    onnx.utils.extract_model(path / "model.onnx", path.with_suffix(".onnx"), ["images"], ["embedding"])
    alone, session = (graph(one, arguments.threads) for one in (path.with_suffix(".onnx"), path / "model.onnx"))
    explainer = Explainer(load_bundle(path), threads=arguments.threads)
    ways: dict[str, Way] = {
        BASELINE: lambda batch: alone.run(["embedding"], {"images": batch}),
        ASKED: lambda batch: session.run(["embedding"], {"images": batch}),
        BOTH: lambda batch: session.run(["embedding", "heatmap"], {"images": batch}),
        FALLBACK: lambda batch: explainer.heatmaps(list(batch)),
        PLAIN: lambda batch: by_backward(model, batch),
    }
    (ours,) = session.run(["heatmap"], {"images": images})
    check("the Torch fallback", ours, np.stack(explainer.heatmaps(list(images))))
    check("plain Torch", ours, by_backward(model, images))
    if peer is not None:
        ways[PEER] = peer
        check("pytorch-grad-cam", ours, peer.raw(images))

    for size in BATCHES:
        seconds = {name: np.empty(arguments.rounds) for name in ways}
        for number in range(-WARM_UP, arguments.rounds):
            for name in np.roll(list(ways), number):
                way = ways[name]
                way(images[:size])  # so that nobody pays for what the way before left in caches and threads
                began = time.perf_counter()
                for start in range(0, len(images), size):
                    way(images[start : start + size])
                if number >= 0:
                    seconds[name][number] = (time.perf_counter() - began) / len(images)
        print(f"\nbatch {size}, {arguments.rounds} rounds of {len(images)} images, {arguments.threads} threads\n")
        print(f"{'':<30}{'images/s':>10}{'ms/image':>10}   {'x the embedding alone':<26}x embedding + heat map, ONNX")
        for name, taken in seconds.items():
            cells = [spread(taken / seconds[other]) for other in (BASELINE, BOTH)]
            line = f"{name:<30}{1 / np.median(taken):>10.1f}{1e3 * np.median(taken):>10.2f}   {cells[0]:<26}{cells[1]}"
            print(line, flush=True)


def by_backward(model: MnPairCnn, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grad-CAM as it is commonly written: of the gradients of everything, those of the feature layer are used."""
    outputs = model(torch.from_numpy(images))
    outputs.features.retain_grad()
    gradcam.score(outputs.reduction).backward()
    weights = outputs.features.grad.mean(dim=(2, 3), keepdim=True)
    maps: NDArray[np.float32] = torch.relu((weights * outputs.features).sum(dim=1)).detach().numpy()
    model.zero_grad()
    return maps


def print_profile(path: Path, images: NDArray[np.uint8], threads: int) -> None:
    """Which nodes of the bundle's graph take how much of its time."""
    options = session_options(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(".profile"))
    session = onnxruntime.InferenceSession(path / "model.onnx", options, providers=["CPUExecutionProvider"])
    for _ in range(PROFILED):
        session.run(["embedding", "heatmap"], {"images": images})
    taken: Counter[str] = Counter()
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            taken[f"{event['args']['op_name']} {event['name'].removesuffix('_kernel_time')}"] += event["dur"]
    print(f"\nbatch {len(images)}, where the graph's time goes, by the profiler\n")
    for node, microseconds in taken.most_common():
        if microseconds >= TOLD * taken.total():
            print(f"{microseconds / taken.total():>6.1%} {node}")


def check(what: str, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """Prints how far two sets of maps are apart; raises AssertionError where that is too far."""
    apart = (np.abs(ours - theirs).max(axis=(1, 2)) / theirs.max(axis=(1, 2))).max()
    print(f"maps of {len(ours)} images, ONNX against {what}: at most {apart:.1e} of the maximum apart")
    assert apart <= TOLERANCE, f"{what} gives other maps"


def spread(ratios: NDArray[np.float64]) -> str:
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def graph(path: Path, threads: int) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, session_options(threads), providers=["CPUExecutionProvider"])


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Those of the service."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def provenance(class_names: tuple[str, ...]) -> Provenance:
    return Provenance(
        name="explained",
        class_names=class_names,
        training={},
        dataset={},
        evaluation={},
        split={"train": [], "test": []},
    )


if __name__ == "__main__":
    main()
