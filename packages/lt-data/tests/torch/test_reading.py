from __future__ import annotations

import io
import os
import threading

import numpy as np
import pytest
from PIL import Image

from lt_data import Decoding, ImageDecodeError, load_image
from lt_data.preprocessing import Box
from lt_data.torch import jpeg
from lt_data.torch.reading import Jpeg, Pixels, jpeg_scale, open_image
from lt_data.torch.resizing import resize
from lt_data.torch.turns import EXIF_TURNS

PHOTO = Image.fromarray(
    np.kron(np.random.default_rng(0).integers(0, 256, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
).resize((640, 480), Image.Resampling.BICUBIC)


@pytest.fixture
def write(tmp_path):
    def save(name="photo.jpg", image=PHOTO, **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def whole(source: Jpeg | Pixels, wanted=(10_000, 10_000)) -> np.ndarray:
    """The upright image, read as a box that is all of it."""
    part, turn = source.read(Box(0, 0, *source.size), wanted)
    upright = resize(part, part.shape[:2], "bilinear")
    return turn.apply(upright).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("with_simplejpeg", [True, False])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 95, "optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_that_is_read_whole_is_what_evaluation_sees(
    write, monkeypatch, with_simplejpeg, options, mode, channels
):
    if not with_simplejpeg:
        monkeypatch.setattr(jpeg, "simplejpeg", None)
    path = write(image=PHOTO.convert(mode), **options)
    source = open_image(path, channels, Decoding())
    assert isinstance(source, Jpeg)
    np.testing.assert_array_equal(whole(source), load_image(path, channels))


@pytest.mark.parametrize("orientation", range(10))
def test_boxes_lie_in_the_upright_image_whatever_its_exif_orientation(write, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(exif=exif.tobytes())
    source, upright = open_image(path, 3, Decoding()), load_image(path)
    assert source.size == upright.shape[:2]
    part, turn = source.read(Box(100, 30, 64, 200), (10_000, 10_000))
    read = turn.apply(resize(part, part.shape[:2], "bilinear")).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(read, upright[100:164, 30:230])
    assert orientation in EXIF_TURNS or turn == EXIF_TURNS[1]


@pytest.mark.parametrize("with_simplejpeg", [True, False])
@pytest.mark.parametrize(("scale", "oversampling"), [(2, 2.0), (4, 1.5), (8, 4.0)])
def test_decoding_at_a_fraction_changes_hardly_a_pixel(write, monkeypatch, with_simplejpeg, scale, oversampling):
    """Photographs, at the least oversampling that is allowed: within what bilinear against bicubic makes."""
    photos = pytest.importorskip("sklearn.datasets", reason="its photographs").load_sample_images().images
    if not with_simplejpeg:
        monkeypatch.setattr(jpeg, "simplejpeg", None)
    for photo in photos:
        image = Image.fromarray(photo).resize((2560, 1708), Image.Resampling.BICUBIC)
        path = write(image=image, quality=90)
        wanted = tuple(int(side / scale / oversampling) for side in (1708, 2560))
        assert jpeg_scale((1708, 2560), wanted) == scale
        part, _ = open_image(path, 3, Decoding()).read(Box(0, 0, 1708, 2560), wanted)
        assert part.shape[0] == -(-1708 // scale)
        full = load_image(path)
        exact = resize(full, wanted, "bilinear").numpy().astype(int)
        difference = np.abs(resize(part, wanted, "bilinear").numpy() - exact).mean()
        customary = np.abs(resize(full, wanted, "bicubic").numpy() - exact).mean()
        assert difference < max(0.5, customary)


def test_nothing_is_decoded_at_a_fraction_that_would_be_too_small():
    assert jpeg_scale((375, 500), (224, 224)) == 1
    assert jpeg_scale((896, 896), (224, 224)) == 2
    assert jpeg_scale((895, 2000), (224, 224)) == 1
    assert jpeg_scale((1344, 1344), (224, 224)) == 4
    assert jpeg_scale((10_000, 10_000), (224, 224)) == 8


def test_what_is_no_common_jpeg_is_read_by_the_one_reader(write):
    cmyk, png = write("cmyk.jpg", PHOTO.convert("CMYK")), write("png.jpg", format="PNG")
    for path in (cmyk, png):
        source = open_image(path, 3, Decoding())
        assert isinstance(source, Pixels)
        np.testing.assert_array_equal(source.array, load_image(path))


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 20, 300, 0.5, 0.99])
def test_a_truncated_jpeg_is_an_error_that_names_it_and_never_half_an_image(write, keep):
    path = write()
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(ImageDecodeError, match=r"photo\.jpg"):
        open_image(path, 3, Decoding()).read(Box(0, 0, 100, 100), (10, 10))


def test_a_directory_and_a_missing_file_are_errors_that_name_them(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    for name in ("folder.jpg", "missing.jpg"):
        with pytest.raises(ImageDecodeError, match=name):
            open_image(tmp_path / name, 3, Decoding())


def test_a_bomb_is_refused_from_its_header(write, tmp_path):
    content = bytearray(write().read_bytes())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    (tmp_path / "bomb.jpg").write_bytes(content)
    with pytest.raises(ImageDecodeError, match=r"bomb\.jpg"):
        open_image(tmp_path / "bomb.jpg", 3, Decoding())


def test_the_fast_resize_is_pillows_to_a_level():
    pixels = np.asarray(PHOTO)
    for size in ((48, 64), (100, 300), (480, 640), (700, 900)):
        for ours, theirs in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
            expected = np.asarray(PHOTO.resize(size[::-1], theirs)).astype(int)
            result = resize(pixels, size, ours).permute(1, 2, 0).numpy()
            assert np.abs(result - expected).max() <= 2


def test_jpegs_of_phones_with_a_second_picture_inside_are_read_by_their_first(write):
    buffer = io.BytesIO()
    PHOTO.save(buffer, "MPO", save_all=True, append_images=[PHOTO.resize((64, 48))])
    path = write("phone.jpg")
    path.write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(whole(open_image(path, 3, Decoding())), load_image(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    raised = []

    def read() -> None:
        with pytest.raises(ImageDecodeError, match="is not a file") as caught:
            open_image(tmp_path / "pipe.jpg", 3, Decoding())
        raised.append(caught.value)

    # Opening a pipe that nobody writes to waits for ever, so not in this thread.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert raised
