import json
from collections.abc import Callable
from typing import Any

import pytest
from farnear import AttributeType, Client, ImageRetention, IndexKind, IndexSettings

from tests.farnear.fake import FakeService

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


COLLECTION = {
    "name": "cells",
    "bundle": "toy",
    "bundle_digest": "ab" * 32,
    "item_count": 0,
    "embedding_dim": 3,
    "create_time": "2026-11-22T18:00:00+00:00",
    "image_retention": "original",
    "attributes": {},
    "index": {"kind": "flat", "target_recall": 0.99},
    "activation": None,
    "activation_error": "",
}


def test_collections(farnear: Farnear, capsys: Capture) -> None:
    assert farnear("collections", "list", "--json") == 0
    assert json_of(capsys) == []
    assert farnear("collections", "create", "cells", "--bundle", "toy", "--json") == 0
    assert json_of(capsys) == COLLECTION
    assert farnear("collections", "list", "--json") == 0
    assert json_of(capsys) == [COLLECTION]
    assert farnear("collections", "get", "cells", "--json") == 0
    assert json_of(capsys) == COLLECTION
    assert farnear("collections", "list") == 0
    assert capsys.readouterr().out == "name   bundle  items  made\ncells  toy         0  2026-11-22 18:00\n"
    assert farnear("collections", "delete", "cells", "--json") == 0
    assert json_of(capsys) == {"name": "cells", "deleted_item_count": 0}


def test_every_choice_of_a_collection_is_made(farnear: Farnear, client: Client, capsys: Capture) -> None:
    create = ("collections", "create", "cells", "--bundle", "toy", "--keep", "thumbnail", "--index", "approximate")
    create += ("--target-recall", "0.95", "--attribute", "severity=number", "--attribute", "taken=timestamp")
    assert farnear(*create) == 0
    assert capsys.readouterr().out == "name   bundle  items  made\ncells  toy         0  2026-11-22 18:00\n"
    made = client.get_collection("cells")
    assert made.image_retention is ImageRetention.THUMBNAIL
    assert made.attributes == {"severity": AttributeType.NUMBER, "taken": AttributeType.TIMESTAMP}
    assert made.index == IndexSettings(kind=IndexKind.APPROXIMATE, target_recall=0.95)
    assert farnear("collections", "get", "cells") == 0
    assert capsys.readouterr().out.splitlines() == [
        "name         cells",
        "bundle       toy",
        f"digest       {'ab' * 32}",
        "items        0",
        "dimension    3",
        "made         2026-11-22 18:00",
        "images kept  thumbnail",
        "index        approximate, target recall 0.95",
        "severity     number",
        "taken        timestamp",
    ]


def test_choices_that_do_not_go_together_are_refused(farnear: Farnear, service: FakeService, capsys: Capture) -> None:
    create = ("collections", "create", "cells", "--bundle", "toy")
    assert farnear(*create, "--target-recall", "0.95") == 1
    assert capsys.readouterr().err == "farnear: --target-recall 0.95: only with --index approximate\n"
    assert farnear(*create, "--attribute", "x=bool", "--attribute", "x=string") == 1
    assert capsys.readouterr().err == "farnear: --attribute: a name is there twice: x, x\n"
    assert service.calls == []


def test_a_refusal_is_one_line_and_code_1(farnear: Farnear, cells: str, capsys: Capture) -> None:
    assert farnear("collections", "create", cells, "--bundle", "toy") == 1
    assert capsys.readouterr() == ("", "farnear: name: 'cells' is taken\n")
    assert farnear("similar", "id:a", "--collection", "nowhere", "--json") == 1
    assert capsys.readouterr() == ("", "farnear: collection: 'nowhere' is not there\n")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farnear.commands.collections.ACTIVATION_POLL_S", 0)


@pytest.mark.usefixtures("at_once")
def test_activate_waits_for_the_move(farnear: Farnear, cells: str, capsys: Capture) -> None:
    assert farnear("activate", cells, "toy-2") == 0
    assert capsys.readouterr() == ("name   bundle  items  made\ncells  toy-2       4  2026-11-22 18:00\n", "")
    assert farnear("activate", cells, "toy", "--json") == 0
    found = json_of(capsys)
    assert (found["bundle"], found["activation"]) == ("toy", None)


@pytest.mark.usefixtures("at_once")
def test_activate_goes_on_waiting_for_a_move_that_was_begun(
    farnear: Farnear, client: Client, cells: str, service: FakeService, capsys: Capture
) -> None:
    client.activate_bundle(cells, "toy-2")
    assert farnear("collections", "list") == 0
    assert capsys.readouterr().out.splitlines()[1] == "cells  toy -> toy-2 (0 of 4)      4  2026-11-22 18:00"
    assert farnear("activate", cells, "toy-2", "--json") == 0
    assert json_of(capsys)["bundle"] == "toy-2"
    assert len(service.requests("ActivateBundle")) == 1


@pytest.mark.usefixtures("at_once")
def test_a_move_that_comes_to_no_end_is_told(
    farnear: Farnear, client: Client, cells: str, service: FakeService, capsys: Capture
) -> None:
    service.activation_fails = True
    assert farnear("activate", cells, "toy-2") == 1
    assert capsys.readouterr().err == (
        "farnear: cells is still under toy: the move to toy-2 came to no end (store: the disk is full)\n"
    )
    client.activate_bundle(cells, "toy-2")
    assert farnear("activate", cells, "toy") == 1
    assert capsys.readouterr().err == "farnear: bundle: a move to toy-2 goes on\n"
    assert farnear("activate", cells, "toy-3") == 1
    assert capsys.readouterr().err == "farnear: bundle: 'toy-3' is not served; served are: toy, toy-2\n"
