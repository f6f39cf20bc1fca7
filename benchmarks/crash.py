"""Is every acknowledged write there after a server was killed, whole and once?

Each round, writers send batches, single items, streams, deletions and interactions of users over gRPC to a real
`farnear serve`, which is killed (SIGKILL) at a random moment, sometimes while it starts. Files that it derives from the
store are deleted, cut, changed by a bit or replaced by an older copy. It is started again, and all that it has is
compared with what the writers noted: what was acknowledged, and what was under way when the server died, which must be
there as a whole or not at all. Vectors are compared by searching: NumPy's brute force over what must be there gives the
hits at both ends. Last, SQLite checks its own file.

A killed process leaves the page cache behind; what a loss of power leaves is shown by tests/e2e/test_power_loss.py.
"""

import argparse
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc
import numpy as np
from conditions import print_conditions
from farnear.v1 import clusters_pb2, collections_pb2, items_pb2, recommend_pb2, search_pb2, types_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from serving import Calls, Server, write_bundle
from tqdm import tqdm

DIM = 16
WRITERS = 4
IDS = 120  # of each writer

Key: TypeAlias = tuple[str, str]  # ("item", item id) or ("met", item id)
Change: TypeAlias = dict[Key, int | None]  # the version that is written under each key, None where it is deleted


@dataclass
class Journal:
    """What one writer knows: versions on disk, and the calls that had no answer when the server died."""

    name: str
    standing: dict[Key, int] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    version: int = 0
    answers: int = 0

    def begin(self, change: Change) -> Change:
        """Notes a call before it is sent."""
        self.pending.append(change)
        return change

    def acknowledge(self, change: Change) -> None:
        """Notes that a call was answered."""
        self.pending.remove(change)
        self.apply(change)
        self.answers += 1

    def apply(self, change: Change) -> None:
        """Takes a change for done."""
        for key, version in change.items():
            if version is None:
                self.standing.pop(key, None)
            else:
                self.standing[key] = version


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print_conditions("grpcio", "numpy", "protobuf")
    print(f"SQLite {sqlite3.sqlite_version}, {WRITERS} writers with {IDS} ids each, seed {arguments.seed}\n")

    chance = random.Random(arguments.seed)
    journals = [Journal(name=f"writer{number}") for number in range(WRITERS)]
    counts: Counter[str] = Counter()
    faults: list[str] = []
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        digest = write_bundle(Path(folder) / "bundle", DIM)
        server = Server(data, bundle=Path(folder) / "bundle")
        calls = server.wait()
        calls.collections.CreateCollection(collections_pb2.CreateCollectionRequest(name="c", bundle="tiny"))
        for number in tqdm(range(1, arguments.rounds + 1), unit=" rounds", disable=None):
            _write_until_killed(server, calls, journals, digest, chance, counts)
            _damage(data, chance, counts)
            server = _start(data, chance, counts)
            calls = server.wait()
            found = [f"round {number}: {fault}" for fault in _audit(calls, journals, digest, counts)]
            for fault in found:
                print(fault, flush=True)
            faults += found
            if number % 20 == 1:
                _fit_a_map(calls, data)
                counts["maps fitted"] += 1
        server.stop()
        with closing(sqlite3.connect(data / "farnear.db")) as connection:
            checks = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if checks != ["ok"] or broken:
            faults.append(f"SQLite finds {checks} {broken}")
        errors = data.with_suffix(".log").read_text().count("ERROR")
    counts["calls with an answer"] = sum(journal.answers for journal in journals)
    for name, count in sorted(counts.items()):
        print(f"{name:42} {count:9,}")
    print(f"{'errors in the log of the servers':42} {errors:9,}")
    print(f"{'seconds':42} {time.perf_counter() - begun:9,.0f}")
    print(
        f"\n{arguments.rounds} rounds: "
        + (f"{len(faults)} FAULTS" if faults else "nothing lost, torn, duplicated or wrong")
    )
    return 1 if faults or errors else 0


# Writing


def _write_until_killed(
    server: Server, calls: Calls, journals: list[Journal], digest: str, chance: random.Random, counts: Counter[str]
) -> None:
    with ThreadPoolExecutor(len(journals)) as pool:
        writers = [pool.submit(_write, calls, journal, digest, random.Random(chance.random())) for journal in journals]
        time.sleep(chance.uniform(0.02, 0.7))
        server.stop(signal.SIGKILL)
        for writer in writers:
            writer.result()
    calls.channel.close()
    counts["kills while writing"] += 1


def _write(calls: Calls, journal: Journal, digest: str, chance: random.Random) -> None:
    """Writes until the server is gone."""
    try:
        while True:
            kind = chance.random()
            if kind < 0.45:
                _upsert(calls, journal, digest, chance.sample(range(IDS), chance.randint(2, 30)))
            elif kind < 0.7:
                _upsert(calls, journal, digest, [chance.randrange(IDS)])
            elif kind < 0.8:
                _stream(calls, journal, digest, chance)
            elif kind < 0.9:
                _delete(calls, journal, chance.sample(range(IDS), chance.randint(1, 10)))
            elif kind < 0.98:
                _meet(calls, journal, chance)
            else:
                _forget(calls, journal)
    except grpc.RpcError as error:
        if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
            raise


def _upsert(calls: Calls, journal: Journal, digest: str, numbers: list[int]) -> None:
    change = journal.begin(_new_versions(journal, numbers))
    answer = calls.items.UpsertItems(items_pb2.UpsertItemsRequest(collection="c", items=_items(change, digest)))
    assert not any(result.HasField("error") for result in answer.results), answer
    journal.acknowledge(change)


def _stream(calls: Calls, journal: Journal, digest: str, chance: random.Random) -> None:
    # The batches have no id in common: which of two that are under way comes first is not told.
    numbers = chance.sample(range(IDS), 60)
    changes = [journal.begin(_new_versions(journal, numbers[start : start + 6])) for start in range(0, 60, 6)]
    requests = [items_pb2.StreamUpsertItemsRequest(collection="c", items=_items(one, digest)) for one in changes]
    for change, answer in zip(changes, calls.items.StreamUpsertItems(iter(requests)), strict=True):
        assert not any(result.HasField("error") for result in answer.results), answer
        journal.acknowledge(change)


def _delete(calls: Calls, journal: Journal, numbers: list[int]) -> None:
    ids = [_item_id(journal, number) for number in numbers]
    change = journal.begin({(kind, item_id): None for kind in ("item", "met") for item_id in ids})
    answer = calls.items.DeleteItems(items_pb2.DeleteItemsRequest(collection="c", item_ids=ids))
    assert answer.deleted_count == sum(("item", item_id) in journal.standing for item_id in ids), answer
    journal.acknowledge(change)


def _meet(calls: Calls, journal: Journal, chance: random.Random) -> None:
    present = sorted(item_id for kind, item_id in journal.standing if kind == "item")
    if not present:
        return
    journal.version += 1
    met = chance.sample(present, min(len(present), 10))
    change = journal.begin({("met", item_id): journal.version for item_id in met})
    interactions = [
        recommend_pb2.Interaction(
            item_id=item_id, opinion=recommend_pb2.OPINION_LIKED, time=Timestamp(seconds=journal.version)
        )
        for item_id in met
    ]
    calls.recommend.RecordInteractions(
        recommend_pb2.RecordInteractionsRequest(collection="c", user=journal.name, interactions=interactions)
    )
    journal.acknowledge(change)


def _forget(calls: Calls, journal: Journal) -> None:
    change = journal.begin({key: None for key in journal.standing if key[0] == "met"})
    answer = calls.recommend.DeleteInteractions(
        recommend_pb2.DeleteInteractionsRequest(collection="c", user=journal.name)
    )
    assert answer.deleted_count == len(change), answer
    journal.acknowledge(change)


def _new_versions(journal: Journal, numbers: list[int]) -> Change:
    journal.version += 1
    return {("item", _item_id(journal, number)): journal.version for number in numbers}


def _item_id(journal: Journal, number: int) -> str:
    return f"{journal.name}/{number:03}"


def _items(change: Change, digest: str) -> list[items_pb2.NewItem]:
    return [
        items_pb2.NewItem(
            item_id=item_id,
            label=f"{item_id} {version}",
            vector=types_pb2.Vector(values=_vector(item_id, version).tolist(), bundle_digest=digest),
            attributes={"version": types_pb2.AttributeValue(number_value=version)},
            source_uri=f"test:{version}",
        )
        for (_, item_id), version in change.items()
        if version is not None
    ]


def _vector(item_id: str, version: int) -> np.ndarray:
    vector = np.random.default_rng([*item_id.encode(), version]).normal(size=DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


# Damage


def _derived(data: Path) -> list[Path]:
    """The files that the server makes from the store."""
    return sorted(
        path
        for path in data.rglob("*")
        if path.is_file() and not path.name.startswith("farnear.") and "bundles" not in path.relative_to(data).parts
    )


def _damage(data: Path, chance: random.Random, counts: Counter[str]) -> None:
    """Damages what can be derived; a copy of each file as it was whole lies beside the data directory."""
    for path in _derived(data):
        older = data.with_name(f"{path.name}.older")
        whole = path.read_bytes()
        kind = chance.choice(["left as they are", "deleted", "cut", "changed by a bit", "replaced by an older copy"])
        counts[f"derived files {kind}"] += 1
        if kind == "deleted":
            path.unlink()
        elif kind == "cut":
            path.write_bytes(whole[: chance.randrange(len(whole))] if whole else b"")
        elif kind == "changed by a bit" and whole:
            place = chance.randrange(len(whole))
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        elif kind == "replaced by an older copy":
            path.write_bytes(older.read_bytes())
    for older in data.parent.glob("*.older"):  # what was deleted comes back stale
        if chance.random() < 0.3:
            (data / "maps" / older.stem).write_bytes(older.read_bytes())


def _fit_a_map(calls: Calls, data: Path) -> None:
    calls.clusters.Recluster(clusters_pb2.ReclusterRequest(collection="c"))
    for path in _derived(data):
        data.with_name(f"{path.name}.older").write_bytes(path.read_bytes())


def _start(data: Path, chance: random.Random, counts: Counter[str]) -> Server:
    """A server; one in five is killed on its way up first."""
    while chance.random() < 0.2:
        server = Server(data)
        time.sleep(chance.uniform(0.2, 3))
        server.stop(signal.SIGKILL)
        counts["kills while starting"] += 1
    return Server(data)


# The audit


def _audit(calls: Calls, journals: list[Journal], digest: str, counts: Counter[str]) -> Iterator[str]:
    """Every difference between what the server has and what the journals allow; they then take over what it has."""
    items = list(_listed(calls))
    found: dict[Key, int] = {}
    for item in items:
        version = int(item.attributes["version"].number_value)
        written = (f"{item.item_id} {version}", f"test:{version}")
        if (item.label, item.source_uri) != written:
            yield f"torn: {item.item_id} has {item.label!r}, {item.source_uri!r} beside version {version}"
        if ("item", item.item_id) in found:
            yield f"duplicated: {item.item_id}"
        found["item", item.item_id] = version
    count = calls.items.CountItems(items_pb2.CountItemsRequest(collection="c")).count
    if count != len(items):
        yield f"wrong: {count} items are counted and {len(items)} listed"
    for journal in journals:
        history = calls.recommend.ListInteractions(
            recommend_pb2.ListInteractionsRequest(collection="c", user=journal.name, page_size=10_000)
        )
        found |= {("met", one.item_id): one.time.seconds for one in history.interactions}

    for journal in journals:
        for change in journal.pending:
            now = {key: found.get(key) for key in change}
            before = {key: journal.standing.get(key) for key in change}
            if now == change:
                counts["calls without an answer, done"] += now != before
                journal.apply(change)
            elif now == before:
                counts["calls without an answer, not done"] += 1
            else:
                yield f"torn: of {change} there is {now}, before was {before}"
        journal.pending.clear()
    standing = {key: version for journal in journals for key, version in journal.standing.items()}
    for key in standing.keys() - found.keys():
        yield f"lost: {key} of version {standing[key]}"
    for key in found.keys() - standing.keys():
        yield f"wrong: {key} of version {found[key]} was never written, or deleted"
    for key in standing.keys() & found.keys():
        if standing[key] != found[key]:
            yield f"lost: {key} has version {found[key]} in place of {standing[key]}"
    counts["acknowledged versions found in audits"] += len(standing)
    yield from _audit_search(
        calls, sorted((key[1], version) for key, version in found.items() if key[0] == "item"), digest
    )
    for journal in journals:
        journal.standing = {key: version for key, version in found.items() if key[1].startswith(f"{journal.name}/")}


def _listed(calls: Calls) -> Iterator[types_pb2.Item]:
    request = items_pb2.ListItemsRequest(collection="c", page_size=97)
    while True:
        page = calls.items.ListItems(request)
        yield from page.items
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _audit_search(calls: Calls, versions: list[tuple[str, int]], digest: str) -> Iterator[str]:
    """Searches for every vector that must be there; the hits must be NumPy's."""
    if not versions:
        return
    vectors = np.array([_vector(item_id, version) for item_id, version in versions])
    queries = [
        types_pb2.Query(vector=types_pb2.Vector(values=vector.tolist(), bundle_digest=digest)) for vector in vectors
    ]
    answer = calls.search.Search(
        search_pb2.SearchRequest(collection="c", queries=queries, direction=search_pb2.DIRECTION_BOTH, k=3)
    )
    similarities = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    for row, result in zip(similarities, answer.results, strict=True):
        order = np.argsort(-row, kind="stable")
        for end, expected in ((result.similar, order[:3]), (result.divergent, order[::-1][:3])):
            ids = [hit.item_id for hit in end]
            if ids != [versions[place][0] for place in expected]:
                yield f"wrong: a search gives {ids} in place of {[versions[place][0] for place in expected]}"


if __name__ == "__main__":
    sys.exit(main())
