from __future__ import annotations

import http.server
import io
import os
import re
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from lt_data import ImageDecodeError, PredictionArgumentError, Preprocessing, load_image, load_inputs

CORNERS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 255, 255], [255, 0, 255]]], np.uint8)
"""Two rows of three different colours: every orientation looks different."""


@pytest.fixture
def corners() -> np.ndarray:
    return CORNERS.repeat(16, axis=0).repeat(16, axis=1)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tif", "tiff", "webp"])
def test_lossless_files_come_out_pixel_for_pixel(tmp_path, corners, suffix):
    file = tmp_path / f"image.{suffix}"
    Image.fromarray(corners).save(file, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(load_image(file), corners)


def test_a_path_may_begin_at_the_home_folder_and_a_url_may_not(tmp_path, corners, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    Image.fromarray(corners).save(tmp_path / "image.png")
    np.testing.assert_array_equal(load_image("~/image.png"), corners)
    with pytest.raises(ImageDecodeError):
        load_image("file:///~/image.png")


@pytest.mark.parametrize("suffix", ["jpg", "jpeg"])
def test_jpeg_files_come_out_nearly(tmp_path, corners, suffix):
    file = tmp_path / f"image.{suffix}"
    Image.fromarray(corners).save(file, quality=95, subsampling=0)
    assert np.abs(load_image(file).astype(int) - corners).mean() < 4


def test_grey_files_are_repeated_over_three_channels_or_kept_as_one(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.pgm")
    np.testing.assert_array_equal(load_image(tmp_path / "grey.pgm"), np.stack([grey] * 3, axis=2))
    np.testing.assert_array_equal(load_image(tmp_path / "grey.pgm", num_channels=1)[:, :, 0], grey)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, corners, orientation):
    # Exif 2.32, tag 0x0112: what was done to the stored rows and columns, undone by hand here.
    stored = {
        1: corners,
        2: corners[:, ::-1],
        3: corners[::-1, ::-1],
        4: corners[::-1],
        5: corners.transpose(1, 0, 2),
        6: np.rot90(corners, 1),
        7: corners.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(corners, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "image.png"), corners)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_values_are_scaled_not_clipped(tmp_path, suffix):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / f"ramp.{suffix}")
    expected = (ramp.astype(np.float64) / 257).round().astype(np.uint8)
    np.testing.assert_array_equal(load_image(tmp_path / f"ramp.{suffix}", num_channels=1)[:, :, 0], expected)


def test_transparent_parts_are_laid_over_white(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = [10, 20, 30, 255]
    for mode in ("RGBA", "LA", "P"):
        image = Image.fromarray(rgba).convert(mode) if mode != "P" else Image.fromarray(rgba).quantize(4)
        image.save(tmp_path / "image.png")
        pixels = load_image(tmp_path / "image.png")
        assert pixels[1, 1].tolist() == [255, 255, 255], mode
        assert pixels[0, 0].max() < 40, mode


def test_alpha_is_kept_as_the_fourth_channel(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (4, 5, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "image.png")
    np.testing.assert_array_equal(load_image(tmp_path / "image.png", num_channels=4), rgba)


def test_one_bit_images_become_black_and_white(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "image.png")
    assert load_image(tmp_path / "image.png", num_channels=1).ravel().tolist() == [255, 0]


def test_images_in_memory_are_read_like_files(tmp_path, corners):
    Image.fromarray(corners).save(tmp_path / "image.png")
    expected = load_image(tmp_path / "image.png")
    np.testing.assert_array_equal(load_image(Image.open(tmp_path / "image.png")), expected)
    np.testing.assert_array_equal(load_image(corners), expected)
    np.testing.assert_array_equal(load_image((tmp_path / "image.png").as_uri()), expected)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "ppm", "tif", "webp"])
def test_the_content_of_a_file_is_read_like_the_file(tmp_path, corners, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(corners).save(tmp_path / f"image.{suffix}", **({"exif": exif} if suffix != "ppm" else {}))
    content = (tmp_path / f"image.{suffix}").read_bytes()
    np.testing.assert_array_equal(load_image(content), load_image(tmp_path / f"image.{suffix}"))


def test_content_may_be_any_kind_of_bytes_or_an_open_file(tmp_path, corners):
    Image.fromarray(corners).save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    for source in (bytearray(content), memoryview(content), io.BytesIO(content)):
        np.testing.assert_array_equal(load_image(source), corners)
    with (tmp_path / "image.png").open("rb") as stream:
        np.testing.assert_array_equal(load_image(stream), corners)
        with pytest.raises(ImageDecodeError, match=r"nothing left to read; .* seek\(0\) goes back"):
            load_image(stream)
    with pytest.raises(ImageDecodeError, match="could not be read: read of closed file"):
        load_image(stream)
    with pytest.raises(ImageDecodeError, match="gave str, expected bytes; open it in binary mode"):
        load_image(io.StringIO("x"))
    with (tmp_path / "image.png").open(encoding="utf-8") as text, pytest.raises(ImageDecodeError, match="binary mode"):
        load_image(text)


def test_one_image_where_several_are_expected_is_refused_of_whatever_kind(tmp_path):
    for source in (bytearray(b"x"), memoryview(b"x"), io.BytesIO(b"x"), "x", tmp_path, iter([])):
        with pytest.raises(PredictionArgumentError, match="expected a list of images, got "):
            load_inputs(source, Preprocessing(image_size=(8, 8)))


def test_what_goes_elsewhere_is_told_where(tmp_path):
    with pytest.raises(PredictionArgumentError, match="expected one image, got a list of 1; lists go to predict_batch"):
        load_image([tmp_path / "image.png"])
    with pytest.raises(ImageDecodeError, match="is not a file but a folder; folders go to predict_folder"):
        load_image(tmp_path)
    with pytest.raises(ImageDecodeError, match="expected the path of an image, got an empty one"):
        load_image("")
    with pytest.raises(ImageDecodeError, match=r"^ftp://x/y\.png: URLs are read if they begin with http://, https://"):
        load_image("ftp://x/y.png")


@pytest.mark.parametrize(
    ("kind", "cure"),
    [
        ("float32", '(array * 255).round().astype("uint8")'),
        ("uint16", '(array / 257).round().astype("uint8")'),
        ("int64", 'array.astype("uint8")'),
    ],
)
def test_arrays_of_another_type_are_told_how_to_convert_them(kind, cure):
    with pytest.raises(ImageDecodeError, match=re.escape(cure)):
        load_image(np.ones((4, 5, 3), dtype=kind))


def test_content_that_is_no_whole_image_is_an_error_without_a_path(tmp_path, corners):
    Image.fromarray(corners).save(tmp_path / "image.png")
    whole = (tmp_path / "image.png").read_bytes()
    refused = {b"": "this image: is empty", b"hello": "none of the image formats", whole[:-40]: "this image: "}
    for content, reason in refused.items():
        with pytest.raises(ImageDecodeError, match=reason) as caught:
            load_image(content)
        assert caught.value.path is None


def test_bytes_that_spell_a_path_or_url_are_never_followed(tmp_path, corners):
    Image.fromarray(corners).save(tmp_path / "image.png")
    for name in (str(tmp_path / "image.png"), (tmp_path / "image.png").as_uri()):
        assert load_image(name).shape == corners.shape
        with pytest.raises(ImageDecodeError, match="none of the image formats"):
            load_image(name.encode())


@pytest.mark.parametrize("array", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_of_another_type_or_shape_are_refused(array):
    with pytest.raises(ImageDecodeError):
        load_image(array)


def test_images_are_fetched_by_http(tmp_path, corners):
    Image.fromarray(corners).save(tmp_path / "image.png")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        np.testing.assert_array_equal(load_image(f"{url}/image.png"), corners)
        Image.fromarray(corners).save(tmp_path / "an image é.png")
        for name in ("an image é.png", "an%20image%20%C3%A9.png"):
            np.testing.assert_array_equal(load_image(f"{url}/{name}"), corners)
        with pytest.raises(ImageDecodeError, match=r"missing\.png: the server answered 404"):
            load_image(f"{url}/missing.png")
        server.shutdown()
    with pytest.raises(ImageDecodeError, match=r"image\.png: could not be downloaded: connection refused$"):
        load_image(f"{url}/image.png")


def test_a_truncated_file_is_an_error_that_names_it_never_half_an_image(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in ("jpg", "png", "bmp", "ppm", "tif", "webp"):
        file = tmp_path / f"cut.{suffix}"
        Image.fromarray(noise).save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ImageDecodeError, match=f"cut.{suffix}") as caught:
            load_image(file)
        assert caught.value.path == file


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"big_tiff": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_tiff_and_webp_cut_anywhere_are_called_truncated_and_pillow_does_not_warn(kind, options):
    # Warnings are errors in these tests.
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
        buffer, kind, **options
    )
    content = buffer.getvalue()
    for size in (12, 300, len(content) // 2, len(content) - 10):
        with pytest.raises(ImageDecodeError, match=f"is truncated or damaged: has {size} bytes, but refers to byte"):
            load_image(content[:size])


def test_tiff_of_big_endian_or_many_channels_that_is_cut_is_called_truncated(corners):
    tifffile = pytest.importorskip("tifffile")
    bands = np.concatenate([corners, corners[:, :, :2]], axis=2)
    for pixels, photometric in ((corners, "rgb"), (bands, "minisblack")):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, photometric=photometric, planarconfig="contig", byteorder=">")
        content, channels = buffer.getvalue(), pixels.shape[2]
        np.testing.assert_array_equal(load_image(content, channels), pixels)
        for size in (12, 200, len(content) // 2, len(content) - 1):
            with pytest.raises(ImageDecodeError, match="is truncated or damaged"):
                load_image(content[:size], channels)
    whole = bytearray(content)
    whole[whole.index(struct.pack(">HHI", 258, 3, 5))] = 0  # no BitsPerSample
    with pytest.raises(ImageDecodeError) as caught:
        load_image(bytes(whole), 5)
    assert "truncated" not in str(caught.value)


def test_tiff_and_webp_that_are_whole_but_damaged_are_not_called_of_another_format(corners):
    for kind in ("TIFF", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(corners).save(buffer, kind)
        content = bytearray(buffer.getvalue())
        if kind == "TIFF":
            content[content.index(struct.pack("<HHI", 258, 3, 3)) + 1] = 0  # no BitsPerSample, a tag that none knows
        else:
            content[20:] = bytes(len(content) - 20)
        with pytest.raises(ImageDecodeError, match="is damaged (TIFF|WebP)"):
            load_image(bytes(content))


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.4\n", b"<svg/>", b"GIF89a1234"],
)
def test_other_content_behind_an_image_name_is_refused(tmp_path, content):
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(ImageDecodeError, match="image.png"):
        load_image(tmp_path / "image.png")


@pytest.mark.parametrize("guard", [Image.MAX_IMAGE_PIXELS, None], ids=["Pillow's guard", "guard turned off"])
def test_a_decompression_bomb_is_refused_from_its_header(tmp_path, monkeypatch, guard):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", guard)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(ImageDecodeError, match="bomb.png"):
        load_image(tmp_path / "bomb.png")


def test_a_caller_may_set_a_lower_limit_of_pixels(tmp_path, corners):
    Image.fromarray(corners).save(tmp_path / "image.png")
    for source in (tmp_path / "image.png", (tmp_path / "image.png").read_bytes()):
        assert load_image(source, max_pixels=32 * 48).shape == (32, 48, 3)
        with pytest.raises(ImageDecodeError, match="48 x 32 pixels are above 1535"):
            load_image(source, max_pixels=32 * 48 - 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageDecodeError, match="is not a file"):
        load_image(tmp_path / "pipe.png")


def test_missing_files_and_things_that_are_no_images_are_named(tmp_path):
    with pytest.raises(ImageDecodeError, match="nowhere.png"):
        load_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageDecodeError, match="int"):
        load_image(3)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata; the pixels are whole
def test_mutated_files_give_an_image_or_an_image_decode_error(tmp_path, corners):
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "bmp", "ppm", "tif", "webp"):
        buffer = io.BytesIO()
        Image.fromarray(corners).save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
        for _ in range(60):
            content = bytearray(buffer.getvalue())
            for position in rng.integers(len(content), size=4):
                content[position] = rng.integers(256)
            file = tmp_path / f"mutant.{suffix}"
            file.write_bytes(content)
            try:
                assert load_image(file).dtype == np.uint8
            except ImageDecodeError as error:
                assert error.path == file


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "image.jpg").write_bytes(b"")
    with pytest.raises(ImageDecodeError, match=r"image\.jpg: is empty"):
        load_image(tmp_path / "image.jpg")
