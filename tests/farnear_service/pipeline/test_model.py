import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from farnear_service.bundle import load_bundle
from farnear_service.embedder import Embedder
from farnear_service.errors import InvalidError, PreconditionError, ServiceError
from farnear_service.image import ImageLimits, decode, draw
from farnear_service.metrics import Metrics
from farnear_service.pipeline import model as model_module
from farnear_service.pipeline.model import Model, ModelSettings
from farnear_service.types import HeatmapPicture
from onnx import numpy_helper


def model_of(path: Path, metrics: Metrics | None = None) -> Model:
    return Model(load_bundle(path), ModelSettings(max_waiting=8), metrics or Metrics())


async def test_an_image_becomes_a_unit_vector_on_either_way(
    tiny_bundle: Path, make_picture: Callable[[int], bytes]
) -> None:
    metrics = Metrics()
    model = model_of(tiny_bundle, metrics)
    vector = await model.embed(make_picture(1), patient=False)
    assert vector.shape == (4,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(await model.embed(make_picture(1), patient=True), vector)
    assert model.waiting == 0
    for stage, count in (("decode", 2), ("embed", 2)):
        assert metrics.registry.get_sample_value("farnear_stage_seconds_count", {"stage": stage}) == count


async def test_what_is_no_image_is_refused(tiny_bundle: Path, make_picture: Callable[[int], bytes]) -> None:
    model = model_of(tiny_bundle)
    for work in (model.embed(b"text", patient=True), model.decode(b"text")):
        with pytest.raises(InvalidError, match="image: "):
            await work
    decoded = await model.decode(make_picture(2))
    assert decoded.data == make_picture(2)
    np.testing.assert_array_equal(decoded.pixels, decode(make_picture(2), 16, 16, ImageLimits()))


async def test_a_bundle_without_a_torch_program_cannot_explain(
    tiny_bundle: Path, make_picture: Callable[[int], bytes]
) -> None:
    model = model_of(tiny_bundle)
    with pytest.raises(PreconditionError, match=r"bundle 'tiny': has no explain\.pt2"):
        await model.explain([await model.decode(make_picture(1))], [[None]])
    assert await model.explain([], []) == []


async def test_images_alone_and_in_pairs_are_explained_in_one_call(
    heatmap_bundle: Path, make_picture: Callable[[int], bytes]
) -> None:
    metrics = Metrics()
    model = model_of(heatmap_bundle, metrics)
    embedder = Embedder(load_bundle(heatmap_bundle), threads=1)
    images = [await model.decode(make_picture(seed)) for seed in range(4)]
    near, far = np.eye(4, dtype=np.float32)[:2]
    targets = [[None], [near, far, near.copy()], [far, None, -far], []]
    found = await model.explain(images, targets)
    assert metrics.registry.get_sample_value("farnear_stage_seconds_count", {"stage": "explain"}) == 1
    for image, of_image, heatmaps in zip(images, targets, found, strict=True):
        for target, heatmap in zip(of_image, heatmaps, strict=True):
            if target is None:
                (expected,) = embedder.heatmaps([image.pixels])
            else:
                ((expected,),) = embedder.pair_heatmaps([image.pixels], target[None])
            np.testing.assert_allclose(heatmap.values, expected, atol=1e-5 * np.abs(expected).max())
            assert heatmap.picture == b""
    for form in HeatmapPicture:
        for image, heatmaps in zip(images, await model.explain(images, targets, picture=form), strict=True):
            for heatmap in heatmaps:
                assert [heatmap.picture] == draw(image.data, [heatmap.values], ImageLimits(), form)


async def test_an_image_goes_through_the_network_once(
    heatmap_bundle: Path, make_picture: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[int, int]] = []
    compute = Embedder.pair_heatmaps

    def counted(embedder: Embedder, images: Sequence[np.ndarray], targets: np.ndarray) -> np.ndarray:
        runs.append((len(images), len(targets)))
        return compute(embedder, images, targets)

    monkeypatch.setattr(model_module.Embedder, "pair_heatmaps", counted)
    model = model_of(heatmap_bundle)
    runs.clear()  # the one that tries the graph out
    query, *hits = [await model.decode(make_picture(seed)) for seed in range(5)]
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    await model.explain([query, *hits], [list(vectors[1:]), *([vectors[0]] for _ in hits)])
    assert runs == [(5, 5)]


async def test_torch_explains_where_it_is_told_to_or_the_graph_does_not(
    heatmap_bundle: Path,
    tmp_path: Path,
    seal_bundle: Callable[[Path], str],
    make_picture: Callable[[int], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def by_torch(*shape: int) -> Callable[..., np.ndarray]:
        return lambda _, images, *targets: np.full((len(images), *shape), len(shape), np.float32)

    monkeypatch.setattr(model_module.Explainer, "heatmaps", by_torch(1, 1))
    monkeypatch.setattr(model_module.Explainer, "pair_heatmaps", by_torch(1, 1, 1))
    # As it was written before graphs gave pairs.
    older = shutil.copytree(heatmap_bundle, tmp_path / "older")
    description = (older / "bundle.json").read_text()
    (older / "bundle.json").write_text(description.replace('"pair_heatmaps": true', '"pair_closed_form": true'))
    seal_bundle(older)
    told = Model(load_bundle(heatmap_bundle), ModelSettings(explain_with_torch=True), Metrics())
    for model, shapes in ((told, [(1, 1), (1, 1)]), (model_of(older), [(4, 4), (1, 1)])):
        image = await model.decode(make_picture(1))
        (found,) = await model.explain([image], [[None, np.array([1, 0, 0, 0], np.float32)]])
        assert [heatmap.values.shape for heatmap in found] == shapes
        assert found[1].values[0, 0] == 3


@pytest.mark.parametrize("value", [0.0, np.nan])
async def test_an_image_whose_embedding_has_no_direction_is_refused(
    value: float,
    tmp_path: Path,
    make_bundle: Callable[..., Path],
    seal_bundle: Callable[[Path], str],
    make_picture: Callable[[int], bytes],
) -> None:
    """As a ready vector of zeros or NaN is; kept, it would be a hit of every search."""
    path = make_bundle(tmp_path / "flat")
    network = onnx.load(path / "model.onnx")
    (weights,) = [tensor for tensor in network.graph.initializer if tensor.name == "weights"]
    weights.CopyFrom(numpy_helper.from_array(np.full((48, 4), value, np.float32), "weights"))
    onnx.save(network, path / "model.onnx")
    seal_bundle(path)
    assert decode(make_picture(1), 16, 16, ImageLimits()).any()
    with pytest.raises(ServiceError):
        await model_of(path).embed(make_picture(1), patient=True)
