import numpy as np
import pytest
from farnear_service.errors import InvalidError
from farnear_service.types import check_text, unit_vector


@pytest.mark.parametrize(
    "text",
    ["crack/017.png", "a", "x" * 512, "é" * 256, "two words", "ひび割れ.jpg", "\U0001f600", "'; DROP TABLE items; --"],
)
def test_text_that_is_allowed(text: str) -> None:
    check_text("item_id", text, required=True)


@pytest.mark.parametrize("text", ["ひび割れ\u30001.jpg", "no\u00a0break.jpg", "\U0001f468\u200d\U0001f527.png"])
def test_text_with_other_spaces_than_that_of_ascii_and_with_joiners(text: str) -> None:
    """The contract forbids control characters (Unicode category Cc) and nothing else; such file names are common."""
    check_text("item_id", text, required=True)


@pytest.mark.parametrize("text", ["a\nb", "a\x00", "\x7f", "tab\t", "\x1b[31m", "\u0085"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="label: "):
        check_text("label", text, required=False)


def test_text_is_limited_in_bytes() -> None:
    with pytest.raises(InvalidError, match="item_id: has 513 bytes; allowed are at most 512"):
        check_text("item_id", "x" * 513, required=True)
    with pytest.raises(InvalidError, match="item_id: has 514 bytes"):
        check_text("item_id", "é" * 257, required=True)


def test_empty_text_is_refused_where_it_is_required() -> None:
    with pytest.raises(InvalidError, match="item_id: is empty; allowed are 1 to 512 bytes"):
        check_text("item_id", "", required=True)
    check_text("label", "", required=False)


def test_a_vector_is_scaled_to_unit_length() -> None:
    values = np.array([3, 0, 4], np.float32)
    values.setflags(write=False)
    np.testing.assert_array_equal(unit_vector("v", values, 3), np.array([0.6, 0, 0.8], np.float32))


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1e-6, 1e30, 3e38])
def test_any_length_but_zero_is_taken(scale: float) -> None:
    unit = unit_vector("v", np.array([scale, scale], np.float32), 2)
    np.testing.assert_allclose(unit, [0.5**0.5] * 2, rtol=1e-6)
    assert unit.dtype == np.float32


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1, 2], "v: has 2 values; the collection's bundle has dimension 3"),
        ([], "v: has 0 values"),
        ([1, 2, 3, 4], "v: has 4 values"),
        ([0, 0, 0], "v: is all zero"),
        ([0, -0.0, 0], "v: is all zero"),
        ([1, np.nan, 0], "v: has values that are NaN or infinite"),
        ([np.inf, 0, 0], "v: has values that are NaN or infinite"),
    ],
)
def test_other_vectors_are_refused(values: list[float], told: str) -> None:
    with pytest.raises(InvalidError, match=told):
        unit_vector("v", np.array(values, np.float32), 3)
