"""Moving a collection to another bundle: old answers until the swap, new ones from then on, nothing lost."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.errors import NotFoundError, PreconditionError
from farnear_service.pipeline import Answer, Catalog, Pipeline
from farnear_service.pipeline import catalog as catalog_module
from farnear_service.types import (
    Collection,
    Direction,
    Image,
    ImageRetention,
    Interaction,
    ItemRef,
    NewItem,
    Opinion,
    Vector,
)

Opened = Callable[..., AbstractAsyncContextManager[Pipeline]]
MakePicture = Callable[[int], bytes]


@pytest.fixture
def bundles(tiny_bundle: Path, tmp_path: Path, make_bundle: Callable[..., Path]) -> dict[str, Path]:
    return {"tiny": tiny_bundle, "wide": make_bundle(tmp_path / "wide", seed=2, dim=6)}


def pictures(make_picture: MakePicture, numbers: range) -> list[NewItem]:
    return [
        NewItem(item_id=f"p{i:02d}", label=f"l{i % 3}", content=Image(data=make_picture(i)), attributes={"n": float(i)})
        for i in numbers
    ]


async def all_hits(pipeline: Pipeline, name: str, query: bytes) -> list[tuple[str, float]]:
    (answer,) = await pipeline.search(name, [Image(data=query)], Direction.SIMILAR, 100)
    assert isinstance(answer, Answer)
    assert answer.result.similar is not None
    return [(hit.item_id, hit.similarity) for hit in answer.result.similar.hits]


async def swapped(pipeline: Pipeline, bundle: str) -> None:
    """Waits for the end of a move, as a client does."""
    async with asyncio.timeout(30):
        while pipeline.catalog.activation("cells") is not None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
    assert pipeline.catalog.collection("cells")[0].bundle_digest == pipeline.catalog.bundles()[bundle].digest


@pytest.fixture
def held_embedding(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Holds the background work until it is set."""
    may_go_on = asyncio.Event()
    embed = catalog_module.embed_anew

    async def held(*arguments: Any) -> None:
        await may_go_on.wait()
        await embed(*arguments)

    monkeypatch.setattr(catalog_module, "embed_anew", held)
    return may_go_on


async def test_a_collection_moves_while_it_answers_and_is_written_to(
    opened: Opened, bundles: dict[str, Path], make_picture: MakePicture, held_embedding: asyncio.Event
) -> None:
    async with opened(bundles=bundles) as pipeline:
        await pipeline.catalog.create_collection("cells", "tiny", ImageRetention.ORIGINAL)
        await pipeline.catalog.create_collection("fresh", "wide", ImageRetention.ORIGINAL)
        await pipeline.upsert("cells", pictures(make_picture, range(20)))
        await pipeline.recommendations.record(
            "cells", "ann", [Interaction(item_id="p01", opinion=Opinion.LIKED, time=1)]
        )
        before = await all_hits(pipeline, "cells", make_picture(50))

        await pipeline.catalog.activate("cells", "wide")
        activation = pipeline.catalog.activation("cells")
        assert activation is not None
        assert (activation.bundle_name, activation.done_count, activation.item_count) == ("wide", 0, 20)
        assert await all_hits(pipeline, "cells", make_picture(50)) == before
        with pytest.raises(PreconditionError, match="under way already"):
            await pipeline.catalog.activate("cells", "wide")
        await pipeline.upsert("cells", pictures(make_picture, range(18, 25)))
        await pipeline.delete_items("cells", ["p00"])
        digest = pipeline.catalog.bundles()["tiny"].digest
        vector = NewItem(item_id="v", label="", content=Vector(values=np.ones(4, np.float32), bundle_digest=digest))
        (refusal,) = await pipeline.upsert("cells", [vector])
        assert isinstance(refusal, PreconditionError)

        held_embedding.set()
        await swapped(pipeline, "wide")
        assert pipeline.catalog.activation("cells") is None
        await pipeline.upsert("fresh", pictures(make_picture, range(1, 25)))
        expected = await all_hits(pipeline, "fresh", make_picture(50))
        assert await all_hits(pipeline, "cells", make_picture(50)) == expected
        assert len(await pipeline.recommendations.interactions("cells", "ann", behind=None, limit=9)) == 1
        assert (await pipeline.item("cells", "p03")).attributes == {"n": 3.0}
        await pipeline.upsert("cells", pictures(make_picture, range(30, 33)))
        with pytest.raises(PreconditionError, match="collection 'cells' is under 'wide' already"):
            await pipeline.catalog.activate("cells", "wide")
        after = await all_hits(pipeline, "cells", make_picture(50))
    async with opened(bundles={}) as pipeline:
        assert await all_hits(pipeline, "cells", make_picture(50)) == after


async def test_a_restart_goes_on_with_a_move(
    opened: Opened, bundles: dict[str, Path], make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = asyncio.Event()

    async def stuck(*_: Any) -> None:
        await never.wait()

    with monkeypatch.context() as patch:
        patch.setattr(catalog_module, "embed_anew", stuck)
        async with opened(bundles=bundles) as pipeline:
            await pipeline.catalog.create_collection("cells", "tiny", ImageRetention.ORIGINAL)
            await pipeline.upsert("cells", pictures(make_picture, range(5)))
            await pipeline.catalog.activate("cells", "wide")
    async with opened(bundles=bundles) as pipeline:
        await swapped(pipeline, "wide")
        assert len(await all_hits(pipeline, "cells", make_picture(50))) == 5


@pytest.mark.parametrize("retention", [ImageRetention.NONE, ImageRetention.THUMBNAIL])
async def test_items_without_an_original_cannot_move(
    opened: Opened, bundles: dict[str, Path], make_picture: MakePicture, retention: ImageRetention
) -> None:
    async with opened(bundles=bundles) as pipeline:
        await pipeline.catalog.create_collection("cells", "tiny", retention)
        await pipeline.upsert("cells", pictures(make_picture, range(5)))
        with pytest.raises(PreconditionError, match="5 items of 'cells' have no kept original"):
            await pipeline.catalog.activate("cells", "wide")
        assert await pipeline.upsert("cells", pictures(make_picture, range(5, 6))) == [None]


async def test_a_move_that_fails_leaves_the_collection(
    opened: Opened,
    bundles: dict[str, Path],
    make_picture: MakePicture,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(*_: Any) -> None:
        raise PreconditionError("image: no direction")

    async with opened(bundles=bundles) as pipeline:
        await pipeline.catalog.create_collection("cells", "tiny", ImageRetention.ORIGINAL)
        await pipeline.upsert("cells", pictures(make_picture, range(5)))
        before = await all_hits(pipeline, "cells", make_picture(50))
        with monkeypatch.context() as patch:
            patch.setattr(catalog_module, "embed_anew", fail)
            await pipeline.catalog.activate("cells", "wide")
            async with asyncio.timeout(30):
                while pipeline.catalog.activation("cells") is not None:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.002)
        assert "could not be moved to bundle 'wide'" in caplog.text
        assert pipeline.catalog.activation_error("cells") == "bundle: 'wide': image: no direction"
        assert await all_hits(pipeline, "cells", make_picture(50)) == before
        await pipeline.catalog.activate("cells", "wide")
        assert pipeline.catalog.activation_error("cells") == ""
        await swapped(pipeline, "wide")


async def test_what_is_asked_while_the_swap_is_made_waits_for_its_end(
    opened: Opened, bundles: dict[str, Path], make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has the new vectors by then, and the index does not: ids would not be found, or give wrong vectors."""
    swapped_in_store, may_go_on = asyncio.Event(), asyncio.Event()
    bring_to_life = Catalog._bring_to_life

    async def held(catalog: Catalog, record: Collection) -> None:
        swapped_in_store.set()
        await may_go_on.wait()
        await bring_to_life(catalog, record)

    async with opened(bundles=bundles) as pipeline:
        await pipeline.catalog.create_collection("cells", "tiny", ImageRetention.ORIGINAL)
        await pipeline.upsert("cells", pictures(make_picture, range(5)))
        await pipeline.recommendations.record(
            "cells", "ann", [Interaction(item_id="p01", opinion=Opinion.LIKED, time=1)]
        )
        with monkeypatch.context() as patch:
            patch.setattr(Catalog, "_bring_to_life", held)
            await pipeline.catalog.activate("cells", "wide")
            await swapped_in_store.wait()
            by_id = ItemRef(item_id="p02")
            asked = [
                asyncio.ensure_future(work)
                for work in (
                    pipeline.item("cells", "p02"),
                    pipeline.items("cells", after=None, limit=10),
                    pipeline.item_image("cells", "p02"),
                    pipeline.search("cells", [by_id], Direction.BOTH, 3),
                    pipeline.recommendations.interactions("cells", "ann", behind=None, limit=10),
                    pipeline.item("cells", "nothing"),
                )
            ]
            done, _ = await asyncio.wait(asked, timeout=0.2)
            assert not done
            may_go_on.set()
            async with asyncio.timeout(30):
                item, items, image, (answer,), interactions = await asyncio.gather(*asked[:5])
                with pytest.raises(NotFoundError, match="has no item 'nothing'"):
                    await asked[5]
        assert (item.item_id, len(items), len(interactions)) == ("p02", 5, 1)
        assert image.data == make_picture(2)
        assert answer == (await pipeline.search("cells", [by_id], Direction.BOTH, 3))[0]
        assert pipeline.catalog.collection("cells")[0].bundle_name == "wide"


async def test_a_collection_that_moves_can_be_deleted(
    opened: Opened, bundles: dict[str, Path], make_picture: MakePicture, held_embedding: asyncio.Event
) -> None:
    async with opened(bundles=bundles) as pipeline:
        await pipeline.catalog.create_collection("cells", "tiny", ImageRetention.ORIGINAL)
        await pipeline.upsert("cells", pictures(make_picture, range(5)))
        await pipeline.catalog.activate("cells", "wide")
        assert await pipeline.catalog.delete_collection("cells") == 5
        with pytest.raises(NotFoundError):
            pipeline.catalog.activation("cells")
    async with opened(bundles={}) as pipeline:
        assert pipeline.catalog.collections() == []
