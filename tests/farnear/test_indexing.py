from pathlib import Path

import grpc
import pytest
from farnear import Client, UnavailableError
from farnear.images import list_images
from farnear.indexing import IndexReport, Refusal, index_images

from tests.farnear.fake import FakeService


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, content in {
        "crack/1.png": b"img 1 0 0",
        "crack/2.png": b"not an image",
        "rust/1.png": b"img 0 1 0",
        "top.png": b"img 0 0 1",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def empty(client: Client) -> str:
    client.create_collection("empty", bundle="toy")
    return "empty"


def test_a_bad_image_is_told_and_the_others_are_indexed(
    client: Client, empty: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = index_images(client, empty, list_images(photos))
    reason = "image: not an image;\nallowed are JPEG, PNG, WebP, BMP and TIFF"
    assert report == IndexReport(indexed=3, skipped=0, refused=(Refusal(item_id="crack/2.png", error=reason),))
    assert [(item.item_id, item.label) for item in client.list_items(empty)] == [
        ("crack/1.png", "crack"),
        ("rust/1.png", "rust"),
        ("top.png", ""),
    ]
    assert capsys.readouterr().err == f"farnear: refused crack/2.png: {reason.replace(chr(10), ' ')}\n"


def test_what_is_there_is_skipped(client: Client, empty: str, photos: Path, service: FakeService) -> None:
    (photos / "crack/2.png").unlink()
    index_images(client, empty, list_images(photos))
    (photos / "rust/2.png").write_bytes(b"img 0 1 1")
    assert index_images(client, empty, list_images(photos)) == IndexReport(indexed=1, skipped=3, refused=())
    assert [[item.item_id for item in request.items] for request in service.requests("StreamUpsertItems")] == [
        ["crack/1.png", "rust/1.png", "top.png"],
        ["rust/2.png"],
    ]


def test_a_file_that_cannot_be_read_is_refused_and_the_others_are_indexed(
    client: Client, empty: str, photos: Path
) -> None:
    images = list_images(photos)
    (photos / "crack/2.png").unlink()
    report = index_images(client, empty, images)
    assert (report.indexed, report.refused) == (
        3,
        (Refusal(item_id="crack/2.png", error="No such file or directory"),),
    )


def test_a_file_name_that_is_not_utf8_is_refused_and_the_others_are_indexed(
    client: Client, empty: str, photos: Path
) -> None:
    (photos / "crack/2.png").rename(photos / "crack/\udcff.png")
    report = index_images(client, empty, list_images(photos))
    assert (report.indexed, report.refused) == (
        3,
        (Refusal(item_id="crack/\udcff.png", error="the file name is not UTF-8"),),
    )


def test_an_interrupted_run_is_taken_up(client: Client, empty: str, tmp_path: Path, service: FakeService) -> None:
    for number in range(200):
        (tmp_path / f"{number:03}.png").write_bytes(b"img 1 0 0")
    images = list_images(tmp_path)

    # The second batch fails, as when the service dies in the middle.
    class FailsAfterTheFirst(list[grpc.StatusCode]):
        def __bool__(self) -> bool:
            return len(service.requests("StreamUpsertItems")) > 1

    service.failures["StreamUpsertItems"] = FailsAfterTheFirst([grpc.StatusCode.UNAVAILABLE])
    with pytest.raises(UnavailableError):
        index_images(client, empty, images)
    service.failures.clear()
    assert index_images(client, empty, images) == IndexReport(indexed=72, skipped=128, refused=())
    assert client.get_collection(empty).item_count == 200
