import io
import random
import warnings

import numpy as np
import pytest
from farnear_service.errors import InvalidError
from farnear_service.image import ImageLimits, decode, draw
from farnear_service.types import HeatmapPicture
from PIL import Image

LIMITS = ImageLimits()


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def refusal_of(data: bytes) -> str:
    """What `decode` says against a file."""
    try:
        decode(data, 12, 8, LIMITS)
    except InvalidError as refusal:
        return str(refusal)
    return "was accepted"


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_every_kind_of_still_picture_is_decoded(still_pictures: dict[str, bytes]) -> None:
    for name, data in still_pictures.items():
        pixels = decode(data, 12, 8, LIMITS)
        assert pixels.shape == (8, 12, 3), name
        assert pixels.dtype == np.uint8, name


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # it warns of some damage before it gives up
def test_everything_else_is_refused(refused_pictures: dict[str, bytes]) -> None:
    for name, data in refused_pictures.items():
        assert refusal_of(data).startswith("image: "), name


@pytest.mark.parametrize("name", ["png", "bmp", "tiff", "webp lossless with alpha"])
def test_lossless_pixels_come_as_they_are(name: str, still_pictures: dict[str, bytes]) -> None:
    data = still_pictures[name]
    expected = np.asarray(opened(data).convert("RGB"))
    np.testing.assert_array_equal(decode(data, 40, 30, LIMITS), expected)


def test_the_resize_is_pillows_bilinear(still_pictures: dict[str, bytes]) -> None:
    expected = opened(still_pictures["png"]).resize((7, 5), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(still_pictures["png"], 7, 5, LIMITS), np.asarray(expected))


def test_a_large_jpeg_is_decoded_at_no_less_than_twice_the_target(still_pictures: dict[str, bytes]) -> None:
    data = still_pictures["jpeg large enough for a scaled decode"]
    image = opened(data)
    image.draft("RGB", (200, 200))
    assert image.size == (225, 175) or image.size == (450, 350)
    assert min(image.size) >= 175
    expected = image.resize((100, 100), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(data, 100, 100, LIMITS), np.asarray(expected))


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_orientation_is_applied(orientation: int, corner: tuple[int, int]) -> None:
    """The red pixel of the top left corner as stored goes where the orientation says."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    size = (6, 4) if orientation < 5 else (4, 6)
    shown = decode(encoded(Image.fromarray(pixels), "PNG", exif=exif), *size, LIMITS)
    assert tuple(shown[corner]) == (255, 0, 0)
    assert shown.sum() == 255


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_steps(image_format: str) -> None:
    deep = (np.arange(256, dtype=np.uint16) << 8).reshape(16, 16)
    shown = decode(encoded(Image.fromarray(deep), image_format), 16, 16, LIMITS)
    np.testing.assert_array_equal(shown, np.arange(256).reshape(16, 16, 1).repeat(3, axis=2))


def test_16_bit_grey_of_the_other_byte_order_is_the_same() -> None:
    deep = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    big = Image.frombytes("I;16B", (16, 16), deep.astype(">u2").tobytes())
    np.testing.assert_array_equal(
        decode(encoded(big, "TIFF"), 16, 16, LIMITS), decode(encoded(Image.fromarray(deep), "TIFF"), 16, 16, LIMITS)
    )


def test_float_tiff_with_values_that_are_no_numbers_is_decoded_or_refused_in_words() -> None:
    values = np.full((4, 4), np.nan, np.float32)
    assert refusal_of(encoded(Image.fromarray(values), "TIFF")).startswith(("image: ", "was accepted"))


def test_a_camera_jpeg_with_a_preview_behind_it_is_a_jpeg() -> None:
    """Phones and drones add previews or gain maps as further pictures (CIPA multi-picture format); nothing moves."""
    shot, preview = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (8, 6), "red")
    data = encoded(shot, "MPO", save_all=True, append_images=[preview])
    assert data[:3] == b"\xff\xd8\xff"
    assert decode(data, 4, 4, LIMITS).shape == (4, 4, 3)


def test_pixels_are_limited_by_the_header(still_pictures: dict[str, bytes]) -> None:
    assert decode(still_pictures["png"], 4, 4, ImageLimits(max_pixels=1200)).shape == (4, 4, 3)
    with pytest.raises(InvalidError, match=r"image: is 40 x 30 pixels; allowed are at most 1199"):
        decode(still_pictures["png"], 4, 4, ImageLimits(max_pixels=1199))


def test_a_tiny_file_that_promises_a_huge_picture_is_refused_by_its_size(refused_pictures: dict[str, bytes]) -> None:
    bomb = refused_pictures["png of 50,000 x 50,000 pixels by its header"]
    assert len(bomb) < 100
    with pytest.raises(InvalidError, match=r"50000 x 50000 pixels; allowed are at most 64000000"):
        decode(bomb, 4, 4, LIMITS)


def test_bytes_are_limited(still_pictures: dict[str, bytes]) -> None:
    data = still_pictures["png"]
    assert decode(data, 4, 4, ImageLimits(max_bytes=len(data))).shape == (4, 4, 3)
    with pytest.raises(InvalidError, match=rf"image: has {len(data)} bytes; allowed are at most {len(data) - 1}"):
        decode(data, 4, 4, ImageLimits(max_bytes=len(data) - 1))


def test_refusals_say_what_came() -> None:
    with pytest.raises(InvalidError, match="image: is empty"):
        decode(b"", 4, 4, LIMITS)
    with pytest.raises(InvalidError, match="4 bytes that are no readable JPEG, PNG, WEBP, BMP, TIFF file"):
        decode(b"text", 4, 4, LIMITS)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    with pytest.raises(InvalidError, match="image: has 2 frames; allowed is a still image"):
        decode(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]), 4, 4, LIMITS)


def test_damaged_pictures_are_decoded_or_refused_and_nothing_else(still_pictures: dict[str, bytes]) -> None:
    chance = random.Random(0)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of some damage that it can live with
        for name, data in still_pictures.items():
            for _ in range(25):
                damaged = bytearray(data)
                for _ in range(chance.choice((1, 3, 10))):
                    damaged[chance.randrange(min(len(damaged), 400))] = chance.randrange(256)
                try:
                    pixels = decode(bytes(damaged), 6, 5, LIMITS)
                except InvalidError:
                    refused += 1
                else:
                    assert pixels.shape == (5, 6, 3), name
    assert refused > 100


def test_decode_leaves_its_input_as_it_is(still_pictures: dict[str, bytes]) -> None:
    data = still_pictures["jpeg"]
    before = bytes(bytearray(data))
    decode(data, 4, 4, LIMITS)
    assert data == before


OVERLAY, HEATMAP = HeatmapPicture.OVERLAY, HeatmapPicture.HEATMAP


def drawn(data: bytes, heatmap: np.ndarray, form: HeatmapPicture) -> bytes:
    (png,) = draw(data, [heatmap], LIMITS, form)
    return png


@pytest.mark.parametrize("form", HeatmapPicture)
@pytest.mark.parametrize(
    ("size", "shown"), [((40, 30), (40, 30)), ((1, 1), (1, 1)), ((3000, 1500), (1024, 512)), ((200, 4096), (50, 1024))]
)
def test_a_drawing_has_the_shown_size_at_most_1024_a_side(
    size: tuple[int, int], shown: tuple[int, int], form: HeatmapPicture
) -> None:
    heatmap = np.arange(20, dtype=np.float32).reshape(4, 5)
    for image_format in ("PNG", "JPEG"):
        picture = opened(drawn(encoded(Image.new("RGB", size), image_format), heatmap, form))
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", shown)


@pytest.mark.parametrize("form", HeatmapPicture)
def test_a_drawing_is_upright(form: HeatmapPicture) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (40, 30)), "JPEG", exif=exif)
    assert opened(drawn(data, np.ones((2, 2), np.float32), form)).size == (30, 40)


@pytest.mark.parametrize("form", HeatmapPicture)
def test_a_drawing_is_brightest_where_the_map_is_strongest(form: HeatmapPicture) -> None:
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[6, 1] = 1e-20  # the scale does not matter
    picture = np.asarray(opened(drawn(encoded(Image.new("RGB", (80, 80)), "PNG"), heatmap, form)), np.int64)
    row, column = divmod(int(picture.sum(axis=2).argmax()), 80)
    assert (row // 10, column // 10) == (6, 1)
    assert picture[5, 75].sum() < 10


def test_a_heatmap_does_not_show_the_image() -> None:
    heatmap = np.arange(20, dtype=np.float32).reshape(4, 5)
    black, white = (
        drawn(encoded(Image.new("RGB", (40, 32), colour), "PNG"), heatmap, HEATMAP) for colour in ("black", "white")
    )
    assert black == white
    # A lower row is brighter throughout: the map grows by row.
    rows = np.asarray(opened(black), np.int64).sum(axis=(1, 2))[4::8]
    assert (np.diff(rows) > 0).all()


def test_an_overlay_lets_the_image_through_where_the_map_is_weak() -> None:
    heatmap = np.array([[0.0, 1.0]], np.float32).repeat(2, axis=0)
    shown = np.asarray(
        opened(drawn(encoded(Image.new("RGB", (80, 80), (0, 0, 255)), "PNG"), heatmap, OVERLAY)), np.int64
    )
    # Inferno goes from (0, 0, 4) to (252, 255, 164).
    for column, expected in ((2, (0, 0, 0.85 * 255 + 0.15 * 4)), (77, (0.7 * 252, 0.7 * 255, 0.3 * 255 + 0.7 * 164))):
        np.testing.assert_allclose(shown[40, column], expected, atol=0.51)


@pytest.mark.parametrize("form", HeatmapPicture)
def test_what_is_below_0_is_not_drawn(form: HeatmapPicture) -> None:
    image = encoded(Image.new("RGB", (9, 9), "white"), "PNG")
    heatmap = np.array([[-1, 0], [0, 1]], np.float32)
    assert drawn(image, heatmap, form) == drawn(image, heatmap.clip(min=0), form)
    for empty in (np.zeros((2, 2), np.float32), np.full((2, 2), -1, np.float32)):
        picture = np.asarray(opened(drawn(image, empty, form)))
        assert (picture == picture[0, 0]).all()


def test_what_is_little_beside_what_is_below_0_looks_little() -> None:
    """An image and its copy have next to nothing that makes them unlike."""
    image = encoded(Image.new("RGB", (40, 40)), "PNG")
    much, little = (
        np.asarray(opened(drawn(image, np.array([[least, 0], [0, 1]], np.float32), HEATMAP)), np.int64)
        for least in (-1, -10)
    )
    np.testing.assert_allclose(much[38, 38], (252, 255, 164), atol=1)  # where Inferno ends
    assert 0 < little[38, 38].sum() < much[38, 38].sum() / 4


def test_drawing_leaves_its_inputs_as_they_are(still_pictures: dict[str, bytes]) -> None:
    heatmap = np.arange(20, dtype=np.float32).reshape(4, 5)
    heatmap.setflags(write=False)
    drawn(still_pictures["png"], heatmap, OVERLAY)
    np.testing.assert_array_equal(heatmap, np.arange(20).reshape(4, 5))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # it warns of some damage before it gives up
def test_drawing_refuses_what_decode_refuses(refused_pictures: dict[str, bytes]) -> None:
    for name in ("text", "gif", "png, animated", "jpeg, cut in half"):
        with pytest.raises(InvalidError):
            drawn(refused_pictures[name], np.ones((2, 2), np.float32), OVERLAY)


@pytest.mark.parametrize("form", HeatmapPicture)
def test_several_maps_of_an_image_are_drawn_as_one_by_one(
    still_pictures: dict[str, bytes], form: HeatmapPicture
) -> None:
    data, heatmaps = still_pictures["jpeg"], list(np.random.default_rng(0).random((3, 4, 5), np.float32))
    assert draw(data, heatmaps, LIMITS, form) == [drawn(data, heatmap, form) for heatmap in heatmaps]
    assert draw(data, [], LIMITS, form) == []
