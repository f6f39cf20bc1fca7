"""Builds the messages of the contract from inputs, and reads its answers into results: shared by both clients."""

from collections.abc import Iterable, Iterator
from datetime import UTC

from farnear.errors import FarnearError, error_for
from farnear.inputs import Direction, ItemId, NewItem, Query, Vector
from farnear.results import (
    Assignment,
    ClassCount,
    Cluster,
    Clustering,
    Collection,
    Explanation,
    Fit,
    Heatmap,
    Hit,
    Item,
    MapInfo,
    MapPoint,
    SearchResult,
    UpsertOutcome,
)
from farnear.v1 import clusters_pb2, collections_pb2, explain_pb2, items_pb2, search_pb2, types_pb2

_DIRECTIONS = {
    Direction.SIMILAR: search_pb2.DIRECTION_SIMILAR,
    Direction.DIVERGENT: search_pb2.DIRECTION_DIVERGENT,
    Direction.BOTH: search_pb2.DIRECTION_BOTH,
}


def to_query(query: Query) -> types_pb2.Query:
    """Writes a query.

    Raises:
        TypeError: If it is neither bytes nor `ItemId` nor `Vector`.
    """
    match query:
        case bytes():
            return types_pb2.Query(image=query)
        case ItemId():
            return types_pb2.Query(item_id=query.value)
        case Vector():
            return types_pb2.Query(vector=_to_vector(query))
    raise TypeError(f"a query is bytes (an encoded image), an ItemId or a Vector, not {type(query).__name__}")


def to_create_request(name: str, bundle: str, keep_images: bool) -> collections_pb2.CreateCollectionRequest:
    """Writes a CreateCollectionRequest."""
    retention = collections_pb2.IMAGE_RETENTION_ORIGINAL if keep_images else collections_pb2.IMAGE_RETENTION_NONE
    return collections_pb2.CreateCollectionRequest(name=name, bundle=bundle, image_retention=retention)


def to_upsert_request(collection: str, items: Iterable[NewItem]) -> items_pb2.UpsertItemsRequest:
    """Writes an UpsertItemsRequest."""
    return items_pb2.UpsertItemsRequest(collection=collection, items=[_to_new_item(item) for item in items])


def to_search_request(
    collection: str, queries: Iterable[Query], direction: Direction, k: int
) -> search_pb2.SearchRequest:
    """Writes a SearchRequest."""
    return search_pb2.SearchRequest(
        collection=collection, queries=[to_query(query) for query in queries], direction=_DIRECTIONS[direction], k=k
    )


def to_explain_request(collection: str, queries: Iterable[Query], overlay: bool) -> explain_pb2.ExplainRequest:
    """Writes an ExplainRequest."""
    picture = explain_pb2.HEATMAP_PICTURE_OVERLAY if overlay else explain_pb2.HEATMAP_PICTURE_UNSPECIFIED
    return explain_pb2.ExplainRequest(
        collection=collection, queries=[to_query(query) for query in queries], picture=picture
    )


def read_collection(message: collections_pb2.Collection) -> Collection:
    """Reads a Collection."""
    return Collection(
        name=message.name,
        bundle=message.bundle,
        bundle_digest=message.bundle_digest,
        item_count=message.item_count,
        embedding_dim=message.embedding_dim,
        create_time=message.create_time.ToDatetime(tzinfo=UTC),
        # UNSPECIFIED is the contract's word for the default, which keeps them.
        keeps_images=message.image_retention != collections_pb2.IMAGE_RETENTION_NONE,
    )


def read_item(message: types_pb2.Item) -> Item:
    """Reads an Item."""
    return Item(
        item_id=message.item_id,
        label=message.label,
        cluster=message.cluster if message.HasField("cluster") else None,
        create_time=message.create_time.ToDatetime(tzinfo=UTC),
        has_image=message.has_image,
    )


def read_outcomes(response: items_pb2.UpsertItemsResponse) -> list[UpsertOutcome]:
    """Reads an UpsertItemsResponse."""
    return [
        UpsertOutcome(item_id=result.item_id, error=_read_error(result.error) if result.HasField("error") else None)
        for result in response.results
    ]


def read_search_results(response: search_pb2.SearchResponse) -> list[SearchResult]:
    """Reads a SearchResponse."""
    return [
        SearchResult(
            similar=tuple(_read_hit(hit) for hit in result.similar),
            divergent=tuple(_read_hit(hit) for hit in result.divergent),
            exact=result.certificate.exact,
            error=_read_error(result.error) if result.HasField("error") else None,
        )
        for result in response.results
    ]


def read_search_result(response: search_pb2.SearchResponse) -> SearchResult:
    """Reads the answer to a single query.

    Raises:
        FarnearError: If the query was refused.
    """
    (result,) = read_search_results(response)
    if result.error is not None:
        raise result.error
    return result


def read_clustering(pages: Iterable[clusters_pb2.ListClustersResponse]) -> Clustering:
    """Reads the pages of a ListClusters, of which there is at least one."""
    clusters: list[Cluster] = []
    for page in pages:
        clusters += [_read_cluster(cluster) for cluster in page.clusters]
    return Clustering(map=_read_map_info(page.map), clusters=tuple(clusters), noise_count=page.noise_count)


def read_assignment(response: clusters_pb2.AssignResponse) -> Assignment:
    """Reads an AssignResponse."""
    return Assignment(
        cluster=response.cluster,
        core_distance=response.core_distance,
        x=response.x,
        y=response.y,
        map_version=response.map_version,
    )


def read_map_points(chunk: clusters_pb2.GetMapResponse) -> Iterator[MapPoint]:
    """Reads one chunk of a map."""
    for item_id, x, y, cluster, label in zip(
        chunk.item_ids, chunk.xs, chunk.ys, chunk.clusters, chunk.labels, strict=True
    ):
        yield MapPoint(item_id=item_id, x=x, y=y, cluster=cluster, label=label)


def read_fit(response: clusters_pb2.ReclusterResponse) -> Fit:
    """Reads a ReclusterResponse."""
    return Fit(map=_read_map_info(response.map), cluster_count=response.cluster_count, noise_count=response.noise_count)


def read_explanations(response: explain_pb2.ExplainResponse) -> list[Explanation]:
    """Reads an ExplainResponse."""
    return [
        Explanation(heatmap=None, error=_read_error(result.error))
        if result.HasField("error")
        else Explanation(heatmap=_read_heatmap(result.heatmap), error=None)
        for result in response.results
    ]


def read_heatmap(response: explain_pb2.ExplainResponse) -> Heatmap:
    """Reads the answer to a single query.

    Raises:
        FarnearError: If the query was refused.
    """
    (result,) = response.results
    if result.HasField("error"):
        raise _read_error(result.error)
    return _read_heatmap(result.heatmap)


def _to_vector(vector: Vector) -> types_pb2.Vector:
    return types_pb2.Vector(values=vector.values, bundle_digest=vector.bundle_digest)


def _to_new_item(item: NewItem) -> items_pb2.NewItem:
    if isinstance(item.content, bytes):
        return items_pb2.NewItem(item_id=item.item_id, label=item.label, image=item.content)
    return items_pb2.NewItem(item_id=item.item_id, label=item.label, vector=_to_vector(item.content))


def _read_error(message: types_pb2.ItemError) -> FarnearError:
    return error_for(message.code, message.message)


def _read_hit(message: search_pb2.Hit) -> Hit:
    return Hit(
        rank=message.rank,
        item_id=message.item_id,
        similarity=message.similarity,
        label=message.label,
        cluster=message.cluster if message.HasField("cluster") else None,
    )


def _read_map_info(message: clusters_pb2.MapInfo) -> MapInfo:
    return MapInfo(
        version=message.version,
        item_count=message.item_count,
        pending_count=message.pending_count,
        eps=message.eps,
        min_samples=message.min_samples,
        perplexity=message.perplexity,
    )


def _read_cluster(message: clusters_pb2.Cluster) -> Cluster:
    return Cluster(
        cluster=message.cluster,
        size=message.size,
        core_count=message.core_count,
        medoid_item_id=message.medoid_item_id,
        classes=tuple(ClassCount(label=entry.label, count=entry.count) for entry in message.classes),
    )


def _read_heatmap(message: explain_pb2.Heatmap) -> Heatmap:
    return Heatmap(
        height=message.height,
        width=message.width,
        values=tuple(message.values),
        overlay_png=message.picture_png or None,
    )
