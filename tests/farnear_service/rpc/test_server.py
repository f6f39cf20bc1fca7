import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from farnear.v1 import clusters_pb2 as clusters
from farnear.v1 import collections_pb2 as collections
from farnear.v1 import explain_pb2 as explain
from farnear.v1 import filters_pb2 as filters
from farnear.v1 import items_pb2 as items
from farnear.v1 import recommend_pb2 as recommend
from farnear.v1 import search_pb2 as search
from farnear.v1 import types_pb2 as types
from farnear_service.errors import PreconditionError
from farnear_service.index import Position
from farnear_service.metrics import Metrics
from farnear_service.rpc import RpcServer
from farnear_service.rpc.pages import search_page_token
from farnear_service.rpc.server import SERVICE_NAMES
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.farnear_service.rpc.conftest import Service, pages, refused

Code = grpc.StatusCode


# Collections


async def test_collections(service: Service) -> None:
    made = await service.collections.CreateCollection(
        collections.CreateCollectionRequest(
            name="more", bundle="tiny", image_retention=collections.IMAGE_RETENTION_NONE
        )
    )
    assert (made.collection.name, made.collection.bundle, made.collection.bundle_digest) == (
        "more",
        "tiny",
        service.digest,
    )
    assert (made.collection.embedding_dim, made.collection.item_count) == (4, 0)
    assert made.collection.image_retention == collections.IMAGE_RETENTION_NONE
    assert made.collection.create_time.seconds > 1_700_000_000
    got = await service.collections.GetCollection(collections.GetCollectionRequest(name="more"))
    assert got.collection == made.collection
    await service.put_groups(3)
    gone = await service.collections.DeleteCollection(collections.DeleteCollectionRequest(name="cells"))
    assert gone.deleted_item_count == 3
    left = await service.collections.ListCollections(collections.ListCollectionsRequest())
    assert [collection.name for collection in left.collections] == ["more"]


async def test_refusals_of_collections(service: Service) -> None:
    create, request = service.collections.CreateCollection, collections.CreateCollectionRequest
    assert await refused(create(request(name="cells", bundle="tiny"))) == (
        Code.ALREADY_EXISTS,
        "collection: 'cells' is there already",
    )
    for call, code, told in (
        (create(request(name="", bundle="tiny")), Code.INVALID_ARGUMENT, "name: ''"),
        (create(request(name="x", bundle="y")), Code.NOT_FOUND, "bundle: 'y' is not served; served are tiny"),
        (create(request(name="x", bundle="tiny", image_retention=9)), Code.INVALID_ARGUMENT, "image_retention: is 9"),
        (
            service.collections.GetCollection(collections.GetCollectionRequest(name="x")),
            Code.NOT_FOUND,
            "collection: there is no 'x'",
        ),
        (
            service.collections.DeleteCollection(collections.DeleteCollectionRequest(name="")),
            Code.NOT_FOUND,
            "collection: there is no ''",
        ),
    ):
        found_code, found = await refused(call)
        assert found_code is code
        assert told in found


async def test_pages_of_collections(service: Service) -> None:
    for name in ("b", "a", "Z", "c"):
        await service.collections.CreateCollection(collections.CreateCollectionRequest(name=name, bundle="tiny"))
    expected = ["Z", "a", "b", "c", "cells"]
    for size in (1, 2, 5, 0):
        assert (
            await pages(service.collections.ListCollections, collections.ListCollectionsRequest, "name", size)
            == expected
        )
    code, told = await refused(service.collections.ListCollections(collections.ListCollectionsRequest(page_size=1001)))
    assert code is Code.INVALID_ARGUMENT
    assert "page_size: is 1001; allowed are 0 (for 100) to 1000" in told


# Items


async def test_items(service: Service, make_picture: Callable[[int], bytes]) -> None:
    answer = await service.items.UpsertItems(
        items.UpsertItemsRequest(
            collection="cells",
            items=[
                items.NewItem(item_id="p", label="crack", image=make_picture(1)),
                items.NewItem(item_id="bad", image=b"text"),
                items.NewItem(item_id="none"),
                service.vector_item("v", [1, 0, 0, 0]),
                items.NewItem(item_id="f", vector=types.Vector(values=[1, 0, 0, 0], bundle_digest="x")),
            ],
        )
    )
    assert [result.item_id for result in answer.results] == ["p", "bad", "none", "v", "f"]
    assert [result.error.code if result.HasField("error") else 0 for result in answer.results] == [0, 3, 3, 0, 9]
    item = (await service.items.GetItem(items.GetItemRequest(collection="cells", item_id="p"))).item
    assert (item.item_id, item.label, item.has_image, item.HasField("cluster")) == ("p", "crack", True, False)
    gone = await service.items.DeleteItems(items.DeleteItemsRequest(collection="cells", item_ids=["p", "p", "x"]))
    assert gone.deleted_count == 1
    assert (await refused(service.items.GetItem(items.GetItemRequest(collection="cells", item_id="p"))))[
        0
    ] is Code.NOT_FOUND
    assert (await refused(service.items.UpsertItems(items.UpsertItemsRequest(collection="cells"))))[0] is (
        Code.INVALID_ARGUMENT
    )
    many = [items.NewItem(item_id=str(i)) for i in range(1001)]
    code, told = await refused(service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=many)))
    assert (code, told) == (Code.INVALID_ARGUMENT, "items: has 1001 entries; allowed are 1 to 1000")


async def test_pages_of_items(service: Service) -> None:
    ids = ["b", "ä", "Z", "a", "a/1", "\U0001f600", "\uff5e"]
    new = [service.vector_item(item_id, [1, 0, 0, 0]) for item_id in ids]
    await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=new))
    for size in (1, 2, 3, 7, 8, 0):
        found = await pages(service.items.ListItems, items.ListItemsRequest, "item_id", size, collection="cells")
        assert found == sorted(ids, key=str.encode)
    for request in (
        items.ListItemsRequest(collection="cells", page_token="no token"),  # noqa: S106 - of a page
        items.ListItemsRequest(collection="cells", page_size=10_001),
        items.ListItemsRequest(collection="cells", page_size=-1),
    ):
        code, told = await refused(service.items.ListItems(request))
        assert code is Code.INVALID_ARGUMENT
        assert told.startswith("page_")


async def test_a_message_of_64_mib_is_taken_and_a_larger_one_refused(service: Service) -> None:
    large = items.NewItem(item_id="a", image=bytes(16 * 1024 * 1024))
    answer = await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=[large] * 4))
    assert [result.error.code for result in answer.results] == [3] * 4
    code, _ = await refused(service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=[large] * 5)))
    assert code is Code.RESOURCE_EXHAUSTED


def numbered(service: Service, numbers: range) -> list[items.NewItem]:
    made = [service.vector_item(f"n{i:02d}", [1, i, i % 3, 1]) for i in numbers]
    for i, item in zip(numbers, made, strict=True):
        item.attributes["number"].number_value = i
    return made


def at_least(number: float) -> filters.Filter:
    value = types.AttributeValue(number_value=number)
    return filters.Filter(range=filters.FieldRange(field="number", at_least=value))


async def test_a_stream_of_batches(service: Service) -> None:
    """Each batch is answered when it is on disk, though the next one has not been sent."""
    stream = service.items.StreamUpsertItems()
    await stream.write(items.StreamUpsertItemsRequest(collection="cells", items=numbered(service, range(3))))
    assert [result.item_id for result in (await stream.read()).results] == ["n00", "n01", "n02"]
    assert (await service.items.CountItems(items.CountItemsRequest(collection="cells"))).count == 3
    bad = numbered(service, range(5, 6))
    bad[0].attributes["number"].string_value = "five"
    for batch in (numbered(service, range(3, 5)), bad, numbered(service, range(6, 12))):
        await stream.write(items.StreamUpsertItemsRequest(items=batch))
    await stream.done_writing()
    codes = []
    while (answer := await stream.read()) is not grpc.aio.EOF:
        codes.append([result.error.code for result in answer.results])
    assert codes == [[0, 0], [3], [0] * 6]
    assert (await service.items.CountItems(items.CountItemsRequest(collection="cells"))).count == 11


async def test_bytes_that_are_no_request_are_refused_as_the_callers_mistake(service: Service) -> None:
    """Among them are filters that lie a hundred deep in one another, which protobuf does not read."""
    deep = search.SearchRequest(collection="cells")
    part = deep.filter
    for _ in range(120):
        part = part.negation
    part.exists.field = "label"
    nested = deep.SerializeToString()
    for method, data in (("SearchService/Search", b"no message"), ("SearchService/Search", nested)):
        code, told = await refused(service.channel.unary_unary(f"/farnear.v1.{method}")(data))
        assert code is Code.INVALID_ARGUMENT
        assert told.startswith("request: cannot be read (")
    labels = {"method": "/farnear.v1.SearchService/Search", "code": "INVALID_ARGUMENT"}
    assert service.metrics.registry.get_sample_value("farnear_requests_total", labels) == 2
    stream = service.channel.stream_stream("/farnear.v1.ItemsService/StreamUpsertItems")
    good = items.StreamUpsertItemsRequest(collection="cells", items=numbered(service, range(1)))
    under_way = stream(iter([good.SerializeToString(), b"no message"]))
    first = items.StreamUpsertItemsResponse.FromString(await under_way.read())
    assert [result.item_id for result in first.results] == ["n00"]
    code, _ = await refused(under_way.read())
    assert code is Code.INVALID_ARGUMENT


async def test_a_stream_that_breaks_the_rules_ends_after_what_was_accepted(service: Service) -> None:
    for second, told in (
        (items.StreamUpsertItemsRequest(collection="other", items=numbered(service, range(1))), "allowed is one"),
        (items.StreamUpsertItemsRequest(items=[]), "items: has 0 entries"),
    ):
        stream = service.items.StreamUpsertItems()
        await stream.write(items.StreamUpsertItemsRequest(collection="cells", items=numbered(service, range(2))))
        await stream.write(second)
        await stream.done_writing()
        assert len((await stream.read()).results) == 2
        code, found = await refused(stream.read())
        assert code is Code.INVALID_ARGUMENT
        assert told in found


async def test_streams_of_many_clients(service: Service) -> None:
    async def send(client: int) -> None:
        stream = service.items.StreamUpsertItems()
        for batch in range(5):
            new = [service.vector_item(f"c{client} {batch} {i}", [1, client, batch, i]) for i in range(10)]
            await stream.write(items.StreamUpsertItemsRequest(collection="cells", items=new))
        await stream.done_writing()
        assert [len(answer.results) async for answer in stream] == [10] * 5

    await asyncio.gather(*(send(client) for client in range(6)))
    assert (await service.items.CountItems(items.CountItemsRequest(collection="cells"))).count == 300


async def test_items_are_counted_and_listed_by_filter(service: Service) -> None:
    await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=numbered(service, range(20))))
    counted = await service.items.CountItems(items.CountItemsRequest(collection="cells", filter=at_least(13)))
    assert counted.count == 7
    found: list[Any] = []
    token = ""
    while not found or token:
        page = await service.items.ListItems(
            items.ListItemsRequest(collection="cells", filter=at_least(13), page_size=3, page_token=token)
        )
        token = page.next_page_token
        found.append([(item.item_id, item.attributes["number"].number_value) for item in page.items])
    assert found == [[(f"n{i}", i) for i in part] for part in ([13, 14, 15], [16, 17, 18], [19])]
    got = await service.collections.GetCollection(collections.GetCollectionRequest(name="cells"))
    assert dict(got.collection.attributes) == {"number": types.ATTRIBUTE_TYPE_NUMBER}
    unknown = filters.Filter(exists=filters.FieldExists(field="size"))
    for call in (
        service.items.CountItems(items.CountItemsRequest(collection="cells", filter=unknown)),
        service.items.ListItems(items.ListItemsRequest(collection="cells", filter=unknown)),
    ):
        code, told = await refused(call)
        assert code is Code.INVALID_ARGUMENT
        assert "size" in told


async def test_kept_images(service: Service, make_picture: Callable[[int], bytes]) -> None:
    for name, retention in (
        ("original", collections.IMAGE_RETENTION_ORIGINAL),
        ("thumbnail", collections.IMAGE_RETENTION_THUMBNAIL),
        ("none", collections.IMAGE_RETENTION_NONE),
    ):
        await service.collections.CreateCollection(
            collections.CreateCollectionRequest(name=name, bundle="tiny", image_retention=retention)
        )
        new = items.NewItem(item_id="a", image=make_picture(1), source_uri="s3://bucket/a.png")
        await service.items.UpsertItems(items.UpsertItemsRequest(collection=name, items=[new]))
        item = (await service.items.GetItem(items.GetItemRequest(collection=name, item_id="a"))).item
        assert (item.has_image, item.source_uri) == (name != "none", "s3://bucket/a.png")
    kept = await service.items.GetItemImage(items.GetItemImageRequest(collection="original", item_id="a"))
    assert (kept.image, kept.media_type, kept.original) == (make_picture(1), "image/png", True)
    small = await service.items.GetItemImage(items.GetItemImageRequest(collection="thumbnail", item_id="a"))
    assert (small.media_type, small.original) == ("image/jpeg", False)
    for name, item_id, code in (("none", "a", Code.FAILED_PRECONDITION), ("original", "b", Code.NOT_FOUND)):
        call = service.items.GetItemImage(items.GetItemImageRequest(collection=name, item_id=item_id))
        assert (await refused(call))[0] is code


# Search


async def test_pages_of_a_filtered_search_go_through_everything_that_matches(service: Service) -> None:
    await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=numbered(service, range(20))))

    async def asked(**changes: Any) -> Any:
        arguments: dict[str, Any] = {
            "collection": "cells",
            "queries": [types.Query(item_id="n03")],
            "direction": search.DIRECTION_BOTH,
            "filter": at_least(3),
            "k": 5,
            **changes,
        }
        return (await service.search.Search(search.SearchRequest(**arguments))).results[0]

    whole = await asked(k=100)
    assert len(whole.similar) == 16
    assert whole.next_page_token == ""
    similar, divergent, token = [], [], ""
    for size in (5, 5, 5, 1):
        page = await asked(page_token=token)
        assert (len(page.similar), len(page.divergent)) == (size, size)
        similar += [hit.item_id for hit in page.similar]
        divergent += [hit.item_id for hit in page.divergent]
        token = page.next_page_token
        if len(similar) == 10:  # what is written in between moves nothing that was or is to be shown
            await service.items.DeleteItems(items.DeleteItemsRequest(collection="cells", item_ids=["n00", "n01"]))
    assert token == ""
    assert similar == [hit.item_id for hit in whole.similar]
    assert divergent == [hit.item_id for hit in whole.divergent]

    listed = await service.items.ListItems(items.ListItemsRequest(collection="cells", page_size=1))
    assert "page_token: " in (await refused(asked(page_token=listed.next_page_token)))[1]
    first = await asked()
    as_a_list = items.ListItemsRequest(collection="cells", page_token=first.next_page_token)
    assert (await refused(service.items.ListItems(as_a_list)))[0] is Code.INVALID_ARGUMENT
    with pytest.raises(
        grpc.aio.AioRpcError, match=r"page_token: .*; allowed is one that came for the same SearchRequest"
    ):
        await asked(page_token=first.next_page_token, filter=at_least(4))
    two = search.SearchRequest(
        collection="cells",
        queries=[types.Query(item_id="n03"), types.Query(item_id="n04")],
        direction=search.DIRECTION_BOTH,
        k=5,
    )
    two.page_token = search_page_token(two, (Position(0.5, "n03"), None))
    with pytest.raises(grpc.aio.AioRpcError, match="page_token: came with 2 queries; allowed is one"):
        await service.search.Search(two)
    several = search.SearchRequest(
        collection="cells", queries=[types.Query(item_id="n03")] * 2, direction=search.DIRECTION_BOTH, k=5
    )
    assert [result.next_page_token for result in (await service.search.Search(several)).results] == ["", ""]


@pytest.mark.parametrize("letter", ["x", "😀"])
async def test_a_refusal_that_quotes_something_long_arrives(service: Service, letter: str) -> None:
    code, message = await refused(
        service.items.GetItem(items.GetItemRequest(collection="cells", item_id=letter * 100_000))
    )
    assert code is Code.NOT_FOUND
    assert message.startswith(f"item_id: collection 'cells' has no item '{letter * 500}")
    assert message.endswith(f"{letter} ...")


async def test_recommendations_and_interactions(service: Service) -> None:
    await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=numbered(service, range(20))))
    record = recommend.RecordInteractionsRequest(
        collection="cells",
        user="ann",
        interactions=[
            recommend.Interaction(item_id="n01", opinion=recommend.OPINION_LIKED),
            recommend.Interaction(item_id="n02", opinion=recommend.OPINION_DISLIKED),
            recommend.Interaction(item_id="n03"),
        ],
    )
    await service.recommend.RecordInteractions(record)
    answer = await service.recommend.Recommend(
        recommend.RecommendRequest(
            collection="cells", user="ann", mode=recommend.RECOMMEND_MODE_DIVERGENT, k=100, filter=at_least(2)
        )
    )
    assert [hit.rank for hit in answer.hits] == list(range(1, 17))
    assert sorted(hit.item_id for hit in answer.hits) == [f"n{i:02d}" for i in range(4, 20)]
    listed, token = [], ""
    while not listed or token:
        page = await service.recommend.ListInteractions(
            recommend.ListInteractionsRequest(collection="cells", user="ann", page_size=2, page_token=token)
        )
        token = page.next_page_token
        listed += [(one.item_id, one.opinion) for one in page.interactions]
    assert sorted(listed) == [("n01", 1), ("n02", 2), ("n03", 0)]
    forget = recommend.DeleteInteractionsRequest(collection="cells", user="ann")
    assert (await service.recommend.DeleteInteractions(forget)).deleted_count == 3
    code, told = await refused(
        service.recommend.Recommend(recommend.RecommendRequest(collection="cells", user="ann", k=1))
    )
    assert (code, told) == (Code.INVALID_ARGUMENT, "mode, novelty: neither is set; allowed is one of them")


async def test_a_collection_moves_to_another_bundle(service: Service) -> None:
    call = service.collections.ActivateBundle(collections.ActivateBundleRequest(collection="cells", bundle="tiny"))
    code, told = await refused(call)
    assert code is Code.FAILED_PRECONDITION
    assert "is under 'tiny' already" in told


async def test_search(service: Service, make_picture: Callable[[int], bytes]) -> None:
    new = [service.vector_item(item_id, vector, "l") for item_id, vector in (("e", [1, 0, 0, 0]), ("w", [-1, 0, 0, 0]))]
    await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=new))
    answer = await service.search.Search(
        search.SearchRequest(
            collection="cells",
            queries=[
                types.Query(vector=service.vector([2, 0, 0, 0])),
                types.Query(item_id="e"),
                types.Query(item_id="x"),
                types.Query(),
                types.Query(image=make_picture(1)),
            ],
            direction=search.DIRECTION_BOTH,
            k=5,
        )
    )
    first, own, unknown, unset, picture = answer.results
    assert [(hit.rank, hit.item_id, hit.similarity, hit.label) for hit in first.similar] == [
        (1, "e", 1.0, "l"),
        (2, "w", -1.0, "l"),
    ]
    assert [hit.item_id for hit in first.divergent] == ["w", "e"]
    assert first.certificate.exact
    assert [hit.item_id for hit in own.similar] == [hit.item_id for hit in own.divergent] == ["w"]
    assert (unknown.error.code, unset.error.code) == (5, 3)
    assert sorted(hit.item_id for hit in picture.similar) == ["e", "w"]
    for direction, sizes in ((search.DIRECTION_SIMILAR, (2, 0)), (search.DIRECTION_DIVERGENT, (0, 2))):
        (result,) = (
            await service.search.Search(
                search.SearchRequest(
                    collection="cells", queries=[types.Query(image=make_picture(1))], direction=direction, k=5
                )
            )
        ).results
        assert (len(result.similar), len(result.divergent)) == sizes


async def test_refusals_of_search(service: Service) -> None:
    query = types.Query(item_id="a")
    for changes, told in (
        ({"k": 0}, "k: is 0; allowed are 1 to 1000"),
        ({"k": 1001}, "k: is 1001"),
        ({"k": -5}, "k: is -5"),
        ({"direction": search.DIRECTION_UNSPECIFIED}, "direction: is 0"),
        ({"direction": 17}, "direction: is 17"),
        ({"queries": []}, "queries: has 0 entries"),
        ({"queries": [query] * 1001}, "queries: has 1001 entries"),
    ):
        arguments = {"collection": "cells", "queries": [query], "direction": search.DIRECTION_BOTH, "k": 3, **changes}
        code, found = await refused(service.search.Search(search.SearchRequest(**arguments)))
        assert code is Code.INVALID_ARGUMENT
        assert told in found


# Explain


async def test_refusals_of_explain(service: Service, make_picture: Callable[[int], bytes]) -> None:
    call, request = service.explain.Explain, explain.ExplainRequest
    answer = await call(
        request(
            collection="cells",
            queries=[
                types.Query(vector=service.vector([1, 0, 0, 0])),
                types.Query(item_id="none"),
                types.Query(),
                types.Query(image=b"text"),
            ],
        )
    )
    assert [result.error.code for result in answer.results] == [3, 5, 3, 3]
    picture = types.Query(image=make_picture(1))
    for arguments, code in (
        ({"queries": [picture]}, Code.FAILED_PRECONDITION),  # the tiny bundle cannot explain
        ({"queries": [picture] * 101}, Code.INVALID_ARGUMENT),
        ({"queries": []}, Code.INVALID_ARGUMENT),
        ({"queries": [picture], "picture": 7}, Code.INVALID_ARGUMENT),
        ({"queries": [picture], "target": 7}, Code.INVALID_ARGUMENT),
        ({"queries": [picture], "target": explain.EXPLAIN_TARGET_PAIR_SIMILAR}, Code.INVALID_ARGUMENT),
        ({"queries": [picture], "others": [picture]}, Code.INVALID_ARGUMENT),
    ):
        assert (await refused(call(request(collection="cells", **arguments))))[0] is code


async def test_explain(explaining_service: Service, make_picture: Callable[[int], bytes]) -> None:
    service = explaining_service
    one, other = (types.Query(image=make_picture(seed)) for seed in (1, 2))
    answer = await service.explain.Explain(explain.ExplainRequest(collection="cells", queries=[one]))
    (result,) = answer.results
    assert (result.heatmap.height, result.heatmap.width, len(result.heatmap.values)) == (4, 4, 16)
    assert 0 <= result.heatmap.least < result.heatmap.greatest == max(result.heatmap.values)
    assert not result.HasField("other_heatmap")
    answer = await service.explain.Explain(
        explain.ExplainRequest(
            collection="cells",
            queries=[one],
            others=[other],
            target=explain.EXPLAIN_TARGET_PAIR_DIVERGENT,
            picture=explain.HEATMAP_PICTURE_HEATMAP,
        )
    )
    (result,) = answer.results
    for heatmap in (result.heatmap, result.other_heatmap):
        assert heatmap.least == min(heatmap.values) < 0 < heatmap.greatest
        assert heatmap.picture_png.startswith(b"\x89PNG")
    assert -1 < result.similarity < 1


async def test_hits_are_explained(explaining_service: Service, make_picture: Callable[[int], bytes]) -> None:
    service = explaining_service
    new = [items.NewItem(item_id=f"{seed}", image=make_picture(seed)) for seed in range(3)]
    await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=new))
    request = search.SearchRequest(
        collection="cells",
        queries=[types.Query(item_id="0")],
        direction=search.DIRECTION_SIMILAR,
        k=1,
        explain=explain.ExplainHits(picture=explain.HEATMAP_PICTURE_OVERLAY),
    )
    (result,) = (await service.search.Search(request)).results
    assert result.similar[0].HasField("query_heatmap")
    assert result.similar[0].heatmap.picture_png.startswith(b"\x89PNG")
    request.page_token = result.next_page_token
    request.ClearField("explain")  # a next page need not be explained
    (result,) = (await service.search.Search(request)).results
    assert not result.similar[0].HasField("heatmap")
    answer = await service.recommend.Recommend(
        recommend.RecommendRequest(
            collection="cells",
            liked=[types.Query(item_id="0")],
            mode=recommend.RECOMMEND_MODE_SIMILAR,
            k=2,
            explain=explain.ExplainHits(),
        )
    )
    assert [hit.heatmap.height for hit in answer.hits] == [4, 4]
    request.explain.target = 7
    assert (await refused(service.search.Search(request)))[0] is Code.INVALID_ARGUMENT


# The server


async def test_health_and_reflection_answer(service: Service) -> None:
    health = health_pb2_grpc.HealthStub(service.channel)
    for name in ("", *SERVICE_NAMES):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert (await refused(health.Check(health_pb2.HealthCheckRequest(service="x"))))[0] is Code.NOT_FOUND
    reflection = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    stream = reflection.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services=""), symbol("farnear.v1.SearchService")])
    )
    listed, described = [answer async for answer in stream]
    names = {entry.name for entry in listed.list_services_response.service}
    assert set(SERVICE_NAMES) < names
    assert len(SERVICE_NAMES) == 6
    assert "grpc.health.v1.Health" in names
    assert b"SearchRequest" in b"".join(described.file_descriptor_response.file_descriptor_proto)


def symbol(name: str) -> reflection_pb2.ServerReflectionRequest:
    return reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)


async def test_a_fault_of_ours_is_internal_without_detail(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret path /etc/x")

    monkeypatch.setattr(service.pipeline, "search", fail)
    monkeypatch.setattr(service.pipeline.catalog, "live", lambda _: 1 / 0)
    request = search.SearchRequest(
        collection="cells", queries=[types.Query(item_id="a")], direction=search.DIRECTION_BOTH, k=1
    )
    stream = service.clusters.GetMap(clusters.GetMapRequest(collection="cells"))
    for call in (service.search.Search(request), stream.read()):
        assert await refused(call) == (Code.INTERNAL, "the service failed; its log says why")


async def test_a_deadline_ends_a_call(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = asyncio.Event()

    async def wait(*_: Any, **__: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    monkeypatch.setattr(service.pipeline, "item", wait)
    call = service.items.GetItem(items.GetItemRequest(collection="cells", item_id="a"), timeout=0.05)
    assert (await refused(call))[0] is Code.DEADLINE_EXCEEDED
    async with asyncio.timeout(10):
        await cancelled.wait()


async def test_calls_are_counted_and_timed(service: Service) -> None:
    await service.put_groups(3)
    await refused(service.items.GetItem(items.GetItemRequest(collection="cells", item_id="x")))
    value = service.metrics.registry.get_sample_value
    upsert, get = "/farnear.v1.ItemsService/UpsertItems", "/farnear.v1.ItemsService/GetItem"
    assert value("farnear_requests_total", {"method": upsert, "code": "OK"}) == 1
    assert value("farnear_requests_total", {"method": get, "code": "NOT_FOUND"}) == 1
    assert value("farnear_requests_total", {"method": get, "code": "OK"}) is None
    assert value("farnear_request_seconds_count", {"method": upsert}) == 1
    assert value("farnear_stage_seconds_count", {"stage": "store"}) == 1
    assert value("farnear_items", {"collection": "cells"}) == 3
    assert value("farnear_queue_length", {}) == 0
    assert value("farnear_queue_limit", {}) == 256


async def test_a_port_in_use_and_a_host_of_others_are_refused(service: Service) -> None:
    for address in (service.address, "192.0.2.1:0"):
        other = RpcServer(service.pipeline, Metrics())
        with pytest.raises(PreconditionError, match=f"address: cannot listen on '{address}'"):
            await other.start(address)
        await other.drain(0)


async def test_draining_ends_calls_under_way_well_and_takes_no_new_ones(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    item = service.pipeline.item

    async def held(*arguments: Any) -> Any:
        begun.set()
        await may_end.wait()
        return await item(*arguments)

    await service.put_groups(1)
    monkeypatch.setattr(service.pipeline, "item", held)
    under_way = service.items.GetItem(items.GetItemRequest(collection="cells", item_id="v000"))
    waiting = asyncio.ensure_future(_answer(under_way))
    await begun.wait()
    draining = asyncio.ensure_future(service.server.drain(30))
    async with asyncio.timeout(10):
        while await served(service):
            pass
    may_end.set()
    assert (await waiting).item.item_id == "v000"
    await draining
    await service.server.wait()


async def served(service: Service) -> bool:
    """Whether a new call is still served."""
    try:
        await service.collections.GetCollection(collections.GetCollectionRequest(name="cells"))
    except grpc.aio.AioRpcError as refusal:
        if refusal.code() not in (Code.UNAVAILABLE, Code.CANCELLED):
            raise
        return False
    return True


async def _answer(call: Any) -> Any:
    return await call
