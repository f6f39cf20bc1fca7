"""Every kind of bad input, as a user would meet it: one line that says why, the right exit code, and nothing harmed."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import farnear
import numpy as np
import pytest
from PIL import Image

from tests.conftest import DIM, picture
from tests.e2e.conftest import Outcome, Server
from tests.e2e.conftest import farnear as command


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, other_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("refusals") / "data"
    running = Server(data, [f"tiny={tiny_bundle}", f"other={other_bundle}"])
    with farnear.Client(running.address) as client:
        client.create_collection("c", bundle="tiny")
        list(client.upsert("c", [farnear.NewItem(item_id=f"{n}.png", content=picture(n)) for n in range(5)]))
    yield running
    assert running.stop() == 0


def animated(image_format: str) -> bytes:
    frames = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (0, 255)]
    out = io.BytesIO()
    frames[0].save(out, image_format, save_all=True, append_images=frames[1:])
    return out.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header claims more pixels than it has."""
    chunks = [
        b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(b"\0" * 100),
        b"IEND",
    ]
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def gif() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(out, "GIF")
    return out.getvalue()


BAD_IMAGES = {
    "empty": (b"", "is empty"),
    "text": (b"not an image at all", "no readable JPEG, PNG, WEBP, BMP, TIFF"),
    "another format": (gif(), "no readable JPEG, PNG, WEBP, BMP, TIFF"),
    "truncated": (picture(1, 64)[:-40], "cannot be decoded"),
    "animated": (animated("WEBP"), "has 2 frames"),
    "pages": (animated("TIFF"), "has 2 frames"),
    "too many pixels": (huge_png(20_000, 20_000), "at most 64000000"),
    "too many bytes": (picture(1) + b"\0" * 16 * 2**20, "at most 16777216"),
}


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 1
    assert outcome.out == ""
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("farnear: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_an_image_that_is_none(server: Server, kind: str) -> None:
    data, why = BAD_IMAGES[kind]
    refused(server.run("similar", "-", "--collection", "c", stdin=data), "image", why)


def test_bad_images_do_not_harm_their_neighbours(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "mixed" / "class"
    folder.mkdir(parents=True)
    (folder / "good.png").write_bytes(picture(1))
    (folder / "torn.png").write_bytes(picture(2, 64)[:-40])
    (folder / "words.jpg").write_bytes(b"words")
    server.run("collections", "create", "mixed", "--bundle", "tiny")
    outcome = server.run("index", tmp_path / "mixed", "--collection", "mixed", "--json")
    assert outcome.code == 1
    with farnear.Client(server.address) as client:
        assert [item.item_id for item in client.list_items("mixed")] == ["class/good.png"]
    assert "class/torn.png" in outcome.err
    assert "class/words.jpg" in outcome.err
    assert server.run("collections", "delete", "mixed").code == 0


def test_what_is_not_there(server: Server, tmp_path: Path) -> None:
    refused(server.run("similar", "id:nobody", "--collection", "c"), "item_id", "'nobody'")
    refused(server.run("similar", "id:0.png", "--collection", "nowhere"), "collection", "'nowhere'")
    refused(server.run("similar", tmp_path / "absent.png", "--collection", "c"), "absent.png")
    refused(server.run("index", tmp_path / "absent", "--collection", "c"), "absent")
    refused(server.run("collections", "delete", "nowhere"), "'nowhere'")
    refused(server.run("collections", "create", "d", "--bundle", "nothing"), "bundle", "'nothing'", "other, tiny")


def test_what_is_there_already_and_what_does_not_fit(server: Server) -> None:
    refused(server.run("collections", "create", "c", "--bundle", "tiny"), "'c'", "already")
    refused(server.run("collections", "create", "../up", "--bundle", "tiny"), "name", "allowed are 1 to 64")
    refused(server.run("clusters", "list", "--collection", "c"), "has 5 items", "at least 10")
    refused(server.run("recluster", "--collection", "c"), "has 5 items", "at least 10")
    refused(server.run("assign", "id:0.png", "--collection", "c"), "at least 10")
    refused(server.run("explain", "id:0.png", "--collection", "c", "--out", "/tmp/x.png"), "explain.pt2")


def test_counts_out_of_bounds(server: Server) -> None:
    refused(server.run("similar", "id:0.png", "--collection", "c", "-k", "0"), "k", "1 to 1000")
    refused(server.run("similar", "id:0.png", "--collection", "c", "-k", "1001"), "k", "1 to 1000")


def test_vectors_that_are_none(server: Server) -> None:
    with farnear.Client(server.address) as client:
        digest = client.get_collection("c").bundle_digest
        good = [1.0, 0.0, 0.0, 0.0]
        for values, why in (
            ([float("nan"), 0, 0, 1], "NaN or infinite"),
            ([float("inf"), 0, 0, 1], "NaN or infinite"),
            ([0.0] * DIM, "all zero"),
            ([1.0] * (DIM + 1), f"dimension {DIM}"),
            ([], f"dimension {DIM}"),
        ):
            with pytest.raises(farnear.InvalidArgumentError, match=why):
                client.similar("c", farnear.Vector(values=values, bundle_digest=digest))
        with pytest.raises(farnear.FailedPreconditionError, match="bundle_digest"):
            client.similar("c", farnear.Vector(values=good, bundle_digest="0" * 64))
        results = client.search(
            "c",
            [farnear.ItemId("nobody"), farnear.Vector(values=good, bundle_digest=digest), b"words"],
            direction=farnear.Direction.BOTH,
            k=3,
        )
    assert isinstance(results[0].error, farnear.NotFoundError)
    assert results[1].error is None
    assert len(results[1].similar) == len(results[1].divergent) == 3
    assert isinstance(results[2].error, farnear.InvalidArgumentError)


def test_usage_errors_end_with_two(server: Server) -> None:
    for words in (("similar",), ("serve",), ("nonsense",), ("serve", "--data", "x", "--address", "nowhere")):
        outcome = command(*words)
        assert outcome.code == 2, words
        assert outcome.out == ""


def test_a_server_that_is_not_there() -> None:
    refused(command("collections", "list", address="127.0.0.1:1"), "127.0.0.1:1", "farnear serve")


def test_a_damaged_bundle_is_not_served(tiny_bundle: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in tiny_bundle.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes())
    model = bytearray((damaged / "model.onnx").read_bytes())
    model[-1] ^= 1
    (damaged / "model.onnx").write_bytes(model)
    outcome = command("serve", "--data", tmp_path / "data", "--address", "127.0.0.1:0", "--bundle", f"b={damaged}")
    assert outcome.code == 1
    assert "model.onnx does not match its SHA-256" in outcome.err.strip().splitlines()[-1]
