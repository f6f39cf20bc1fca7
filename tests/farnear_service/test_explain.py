import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from farnear_service.bundle import load_bundle
from farnear_service.errors import BundleError, PreconditionError
from farnear_service.explain import Explainer

torch = pytest.importorskip("torch", reason="Torch is not installed")

# Torch's own exporter and loader warn of what they deprecate within themselves.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:torch"
)


def network() -> "torch.nn.Module":
    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 5, 3, padding=1)
            self.pool = torch.nn.MaxPool2d(4)
            self.reduce = torch.nn.Linear(5 * 16, 7)
            self.embed = torch.nn.Linear(7, 4)

        def forward(self, images: "torch.Tensor") -> "tuple[torch.Tensor, ...]":
            scaled = images.permute(0, 3, 1, 2).to(torch.float32) / 255
            features = torch.relu(self.pool(self.conv(scaled)))
            reduction = self.reduce(features.flatten(1))
            vector = self.embed(torch.relu(reduction))
            return torch.nn.functional.normalize(vector, dim=1), features, reduction, vector

    torch.manual_seed(0)
    return Small()


@pytest.fixture(scope="module")
def explained_bundle(
    tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Path], seal_bundle: Callable[[Path], str]
) -> Path:
    """The tiny bundle with a Torch program beside it."""
    path = write_program(make_bundle(tmp_path_factory.mktemp("explained") / "bundle"), network())
    seal_bundle(path)
    return path


def write_program(path: Path, module: "torch.nn.Module") -> Path:
    example = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path / "explain.pt2")
    with_program(path)
    return path


def with_program(path: Path) -> None:
    text = (path / "bundle.json").read_text()
    (path / "bundle.json").write_text(text.replace('"files": {', '"files": {"explain.pt2": "", '))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8))


def plain_heatmap(image: np.ndarray) -> np.ndarray:
    """Equations 6 to 8 for one image, with eager autograd and loops."""
    _, features, reduction, _ = network()(torch.from_numpy(image[None]))
    score = sum(value**2 for value in reduction[0])
    (gradient,) = torch.autograd.grad(score, features)
    _, channels, height, width = features.shape
    heatmap = np.zeros((height, width))
    for m in range(channels):
        alpha = float(gradient[0, m].sum()) / (height * width)
        heatmap += alpha * features[0, m].detach().numpy()
    return np.maximum(heatmap, 0)


def test_heatmaps_equal_eager_autograd(explained_bundle: Path, images: list[np.ndarray]) -> None:
    explainer = Explainer(load_bundle(explained_bundle), threads=1)
    heatmaps = explainer.heatmaps(images)
    assert len(heatmaps) == 6
    for image, heatmap in zip(images, heatmaps, strict=True):
        expected = plain_heatmap(image)
        assert (heatmap.shape, heatmap.dtype) == ((4, 4), np.float32)
        assert expected.max() > 0
        np.testing.assert_allclose(heatmap, expected, atol=1e-5 * expected.max())


def plain_pair_heatmap(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The cosine of one image with a fixed vector, its length held fixed, with eager autograd and loops."""
    _, features, _, vector = network()(torch.from_numpy(image[None]))
    length = float(sum(value.detach() ** 2 for value in vector[0])) ** 0.5
    cosine = sum(value * float(weight) / length for value, weight in zip(vector[0], target, strict=True))
    (gradient,) = torch.autograd.grad(cosine, features)
    _, channels, height, width = features.shape
    heatmap = np.zeros((height, width))
    for m in range(channels):
        heatmap += float(gradient[0, m].sum()) / (height * width) * features[0, m].detach().numpy()
    return heatmap


def test_heatmaps_of_pairs_equal_eager_autograd(explained_bundle: Path, images: list[np.ndarray]) -> None:
    targets = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    targets.setflags(write=False)  # as vectors are that come from the store
    found = Explainer(load_bundle(explained_bundle), threads=1).pair_heatmaps(images, targets)
    assert (found.shape, found.dtype) == ((6, 3, 4, 4), np.float32)
    for image, heatmaps in zip(images, found, strict=True):
        for target, heatmap in zip(targets, heatmaps, strict=True):
            expected = plain_pair_heatmap(image, target)
            np.testing.assert_allclose(heatmap, expected, atol=1e-5 * np.abs(expected).max())
    assert found.min() < 0


def test_a_program_of_an_older_version_explains_no_pairs(
    tmp_path: Path, images: list[np.ndarray], make_bundle: Callable[..., Path], seal_bundle: Callable[[Path], str]
) -> None:
    """It gives no vector before its scaling; images alone are explained as ever."""

    class Older(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, images: "torch.Tensor") -> "tuple[torch.Tensor, ...]":
            return tuple(self.network(images)[:3])

    path = write_program(make_bundle(tmp_path / "older"), Older())
    seal_bundle(path)
    explainer = Explainer(load_bundle(path), threads=1)
    np.testing.assert_allclose(explainer.heatmaps(images)[0], plain_heatmap(images[0]), atol=1e-5)
    with pytest.raises(PreconditionError, match="bundle 'tiny': explains no pairs, as it was written by an older"):
        explainer.pair_heatmaps(images, np.eye(4, dtype=np.float32))


def test_an_image_alone_and_in_a_batch_has_one_heatmap(explained_bundle: Path, images: list[np.ndarray]) -> None:
    explainer = Explainer(load_bundle(explained_bundle), threads=1)
    for image, heatmap in zip(images, explainer.heatmaps(images), strict=True):
        np.testing.assert_allclose(explainer.heatmaps([image])[0], heatmap, rtol=1e-4, atol=1e-7)


def test_images_are_not_modified(explained_bundle: Path, images: list[np.ndarray]) -> None:
    before = [image.copy() for image in images]
    Explainer(load_bundle(explained_bundle), threads=1).heatmaps(images)
    np.testing.assert_array_equal(images, before)


def test_a_bundle_without_a_program_is_told(tiny_bundle: Path, images: list[np.ndarray]) -> None:
    with pytest.raises(PreconditionError, match=r"bundle 'tiny': has no explain\.pt2 to explain with"):
        Explainer(load_bundle(tiny_bundle), threads=1).heatmaps(images)
    with pytest.raises(PreconditionError, match=r"bundle 'tiny': has no explain\.pt2 to explain with"):
        Explainer(load_bundle(tiny_bundle), threads=1).pair_heatmaps(images, np.zeros((6, 4), np.float32))


def test_a_program_that_torch_cannot_read_is_told(
    tmp_path: Path, images: list[np.ndarray], make_bundle: Callable[..., Path], seal_bundle: Callable[[Path], str]
) -> None:
    """As one written by a newer Torch; model.onnx gets the same care."""
    path = make_bundle(tmp_path / "b")
    (path / "explain.pt2").write_bytes(b"no program")
    with_program(path)
    seal_bundle(path)
    with pytest.raises(BundleError, match=r"explain\.pt2"):
        Explainer(load_bundle(path), threads=1).heatmaps(images)


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


NO_TORCH = """
    import asyncio
    import sys
    from pathlib import Path

    class NoTorch:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "torch":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, NoTorch())
    import numpy as np
    from farnear_service.bundle import load_bundle
    from farnear_service.errors import PreconditionError
    from farnear_service.metrics import Metrics
    from farnear_service.pipeline.model import DecodedImage, Model, ModelSettings

    model = Model(load_bundle(Path(sys.argv[1])), ModelSettings(), Metrics())
    image = DecodedImage(data=b"", pixels=np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    for target in (None, np.array([1, 0, 0, 0], np.float32), None):
        try:
            ((heatmap,),) = asyncio.run(model.explain([image], [[target]]))
            print(heatmap.values.shape, bool(heatmap.values.any()))
        except PreconditionError as refusal:
            print(refusal)
"""


def test_without_torch_the_extra_is_named(explained_bundle: Path) -> None:
    told = "explain: this bundle needs Torch, which is not installed: pip install 'farnear[explain-torch]'"
    assert run_python(NO_TORCH, str(explained_bundle)).splitlines() == [told] * 3


def test_without_torch_a_closed_form_explains(heatmap_bundle: Path) -> None:
    assert run_python(NO_TORCH, str(heatmap_bundle)).splitlines() == ["(4, 4) True"] * 3


def test_the_service_does_not_import_torch() -> None:
    loaded = run_python(
        """
        import sys
        import farnear_service.__main__
        import farnear_service.pipeline
        import farnear_service.rpc
        print(*sys.modules)
        """
    ).split()
    assert "farnear_service.explain" in loaded
    assert "onnxruntime" in loaded
    assert not [name for name in loaded if name.split(".")[0] in ("torch", "farnear_training")]


def test_the_memory_that_torch_takes_is_told_once(explained_bundle: Path) -> None:
    told = run_python(
        """
        import sys
        from pathlib import Path

        import numpy as np
        from farnear_service.bundle import load_bundle
        from farnear_service.explain import Explainer

        told = []
        explainer = Explainer(load_bundle(Path(sys.argv[1])), threads=1, loaded=told.append)
        print(told)
        for _ in range(2):
            explainer.heatmaps([np.zeros((16, 16, 3), np.uint8)])
        print(len(told), told[0] > 30_000_000)
        """,
        str(explained_bundle),
    )
    assert told.split("\n")[:2] == ["[]", "1 True"]
