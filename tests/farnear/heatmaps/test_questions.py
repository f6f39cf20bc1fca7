import pytest
from farnear import Client, ExplainHits, ExplainTarget, HeatmapPicture, InvalidArgumentError, ItemId, NewItem, Vector
from farnear.heatmaps.questions import Subject, of_hits, of_images, of_pair, subject_of
from farnear.heatmaps.sheet import Sheet, Tile
from farnear.inputs import Direction

from tests.farnear.conftest import png
from tests.farnear.fake import FakeService

BLUE, RED = (0, 0, 255), (255, 0, 0)


def shown(sheet: Sheet) -> list[list[tuple[str, list[object]]]]:
    """Each row's title and its tiles: the colour of a picture, or the reason why there is none."""
    return [[(row.title, [_shown(tile) for tile in row.tiles]) for row in group] for group in sheet.groups]


def _shown(tile: Tile) -> object:
    return tile.reason if tile.image is None else tile.image.getpixel((0, 0))


def captions(sheet: Sheet) -> list[list[str]]:
    return [[tile.caption for tile in row.tiles] for group in sheet.groups for row in group]


def failing() -> bytes:
    raise OSError("gone")


def test_images_have_their_heat_maps_below_them(client: Client, cells: str, drawing_service: FakeService) -> None:
    subjects = [Subject(name=item_id) for item_id in ("a", "b", "c", "d") * 3]
    subjects += [Subject(name="junk.png", read=lambda: b"junk"), Subject(name="gone.png", read=failing)]
    sheet, refused = of_images(client, cells, subjects, target=ExplainTarget.SELF, title="T")
    assert shown(sheet) == [[("images", [BLUE] * count), ("heat maps", [RED] * count)] for count in (10, 2)]
    assert captions(sheet)[0][:5] == ["a", "b", "c", "d", "a"]
    assert captions(sheet)[1][:2] == ["0 to 1", "0 to 0.99"]
    assert [(one.item_id, one.error.split(":")[0]) for one in refused] == [("junk.png", "image"), ("gone.png", "gone")]
    assert (sheet.title, sheet.side) == ("T", 112)


def test_files_are_explained_too(client: Client, cells: str, drawing_service: FakeService) -> None:
    subject = Subject(name="crack/1.png", read=lambda: png("blue"))
    sheet, refused = of_images(client, cells, [subject], target=ExplainTarget.SELF, title="T")
    assert (shown(sheet), refused) == ([[("images", [BLUE]), ("heat maps", [RED])]], [])
    assert drawing_service.requests("Explain")[-1].queries[0].image == png("blue")


def test_an_image_alone_is_large(client: Client, cells: str, drawing_service: FakeService) -> None:
    sheet, refused = of_images(client, cells, [Subject(name="a")], target=ExplainTarget.SELF, title="T")
    assert (sheet.side, refused) == (320, [])


def test_ties_name_cluster_and_medoid(client: Client, cells: str, drawing_service: FakeService) -> None:
    client.recluster(cells)
    sheet, _ = of_images(client, cells, [Subject(name="b")], target=ExplainTarget.CLUSTER, title="T")
    assert captions(sheet) == [["b"], ["cluster 0, 0.994\nto a"]]


def test_a_pair_is_shown_alike_and_unlike(client: Client, cells: str, drawing_service: FakeService) -> None:
    sheet, similarity = of_pair(client, cells, Subject(name="a"), Subject(name="d"))
    assert similarity == -1
    assert shown(sheet) == [[("images", [BLUE] * 2), ("alike", [RED] * 2), ("unlike", [RED] * 2)]]
    assert [names[0].split()[0] for names in captions(sheet)] == ["a", "nothing:", "-0"]
    assert "-1.000" in sheet.lead
    with pytest.raises(InvalidArgumentError, match="not an image"):
        of_pair(client, cells, Subject(name="a"), Subject(name="x.png", read=lambda: png("blue")[1:]))


def test_hits_are_shown_with_both_sides(client: Client, cells: str, drawing_service: FakeService) -> None:
    vector = Vector(values=[0, 0, 1], bundle_digest=client.get_collection(cells).bundle_digest)
    client.upsert(cells, [NewItem(item_id="v", content=vector)])
    wish = ExplainHits(picture=HeatmapPicture.OVERLAY)
    (found,) = client.search(cells, [ItemId("a")], direction=Direction.BOTH, k=3, explain=wish)
    lists = [("most similar", found.similar), ("most divergent", found.divergent)]
    sheet = of_hits(client, cells, lists, title="T", query=Subject(name="a"))
    query, similar, divergent = shown(sheet)
    assert query == [("query", [BLUE])]
    assert [title for title, _ in similar] == ["most similar", "heat maps", "on the query"]
    assert [title for title, _ in divergent] == ["most divergent", "heat maps", "on the query"]
    place = [hit.item_id for hit in found.similar].index("v")
    assert [tiles[place] for _, tiles in similar] == [
        "item_id: no image is kept of 'v'",
        "item_id: its image is not kept",
        "item_id: its image is not kept",
    ]
    assert [len(tiles) for _, tiles in similar] == [3, 3, 3]
    assert sheet.lead.startswith("What in each hit, and in the query, makes")
    assert captions(sheet)[1][0] == "b\nrank 1, 0.994"


def test_recommendations_have_no_query(client: Client, cells: str, drawing_service: FakeService) -> None:
    wish = ExplainHits(picture=HeatmapPicture.OVERLAY)
    hits = client.recommend(cells, liked=[ItemId("a")], novelty=0.0, k=2, explain=wish)
    sheet = of_hits(client, cells, [("recommended", hits)], title="T", query=None)
    assert shown(sheet) == [[("recommended", [BLUE] * 2), ("heat maps", [RED] * 2)]]
    assert sheet.lead.endswith("where in each image its embedding comes from.")


def test_what_an_argument_names() -> None:
    assert subject_of("id:crack/1.png", ItemId("crack/1.png")) == Subject(name="crack/1.png")
    for argument, name in (("photos/1.png", "1.png"), ("-", "stdin")):
        subject = subject_of(argument, b"img 1 0 0")
        assert subject.name == name
        assert subject.read is not None
        assert subject.read() == b"img 1 0 0"
