import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from farnear_training.train.checkpoint import Checkpoint, ResumeError, load, save
from farnear_training.train.validation import Validation

ORIGIN = {"settings": {"seed": 0, "patience": None}, "images": "a", "validation_images": None}


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        step=step,
        history=(Validation(step=step, precision_at_1=1 / 3, r_precision=0.1, map_at_r=2 / 7),),
        losses=(1 / 3, 0.1),
        tensors={"weights": torch.rand(3, 4).T, "count": torch.tensor(step)},
    )


def test_what_was_saved_is_loaded_exactly(tmp_path: Path) -> None:
    saved = checkpoint(5)
    save(tmp_path / "new", saved, ORIGIN)
    loaded = load(tmp_path / "new", ORIGIN)
    assert loaded is not None
    assert (loaded.step, loaded.history, loaded.losses) == (saved.step, saved.history, saved.losses)
    assert loaded.tensors.keys() == saved.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in saved.tensors.items())


def test_the_next_one_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, checkpoint(5), ORIGIN)
    (tmp_path / "step-00000007.tmp").write_bytes(b"half a file")
    save(tmp_path, checkpoint(10), ORIGIN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.json", "step-00000010.safetensors"]


def test_a_run_killed_between_the_two_files_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, checkpoint(5), ORIGIN)
    replace = Path.replace

    def until_the_description(path: Path, target: Path) -> None:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        replace(path, target)

    monkeypatch.setattr(Path, "replace", until_the_description)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, checkpoint(10), ORIGIN)
    loaded = load(tmp_path, ORIGIN)
    assert loaded is not None
    assert loaded.step == 5


def test_where_nothing_can_be_written_the_one_before_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, checkpoint(5), ORIGIN)

    def on_a_full_disk(tensors: object, path: Path) -> None:
        path.write_bytes(b"half a file")
        raise safetensors.SafetensorError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", on_a_full_disk)
    with pytest.raises(OSError, match=r"the checkpoint of step 10 cannot be written \(No space left on device\)"):
        save(tmp_path, checkpoint(10), ORIGIN)
    loaded = load(tmp_path, ORIGIN)
    assert loaded is not None
    assert loaded.step == 5


def test_an_empty_folder_holds_none(tmp_path: Path) -> None:
    assert load(tmp_path, ORIGIN) is None
    assert load(tmp_path / "nowhere", ORIGIN) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"seed": 1, "patience": None}}, "seed was 0, now 1; allowed is the same"),
        ({"settings": {"seed": 0, "patience": 3}}, "patience was None, now 3"),
        ({"images": "b"}, "other training images"),
        ({"validation_images": "c"}, "other training images"),
        ({"settings": {"seed": 0, "patience": None, "other": 1}}, "another version of Farnear"),
        ({"settings": {"seed": 0}}, "another version of Farnear"),
    ],
)
def test_another_origin_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    save(tmp_path, checkpoint(5), ORIGIN)
    with pytest.raises(ResumeError, match=message):
        load(tmp_path, {**ORIGIN, **changes})


@pytest.mark.parametrize("version", [None, 1, 3])
def test_one_of_another_version_is_refused_as_such(tmp_path: Path, version: int | None) -> None:
    save(tmp_path, checkpoint(5), ORIGIN)
    description = json.loads((tmp_path / "checkpoint.json").read_text())
    assert description["format"] == 2
    if version is None:  # before there was a format
        del description["format"]
    else:
        description["format"] = version
    (tmp_path / "checkpoint.json").write_text(json.dumps(description))
    with pytest.raises(ResumeError, match=rf"another version of Farnear \(format {version}, here 2\); delete it"):
        load(tmp_path, ORIGIN)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"format"'])
def test_a_description_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    save(tmp_path, checkpoint(5), ORIGIN)
    (tmp_path / "checkpoint.json").write_text(content)
    with pytest.raises(ResumeError):
        load(tmp_path, ORIGIN)


@pytest.mark.parametrize("name", ["checkpoint.json", "step-00000005.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_damaged_one_is_refused(tmp_path: Path, name: str, share: float) -> None:
    save(tmp_path, checkpoint(5), ORIGIN)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ResumeError, match="damaged"):
        load(tmp_path, ORIGIN)
