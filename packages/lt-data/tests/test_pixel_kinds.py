"""Images of more than 8 bits, other channels and other colour models, and what is said where an extra is absent."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_data import Decoding, Frame, ImageDecodeError, Preprocessing, load_image, load_inputs
from lt_data.images.formats import is_image_name, may_be_dicom, sniff_dicom
from lt_data.images.transfer_syntax import missing, undecodable

RAMP = np.array([[0, 100, 200, 300, 400]])


def write_tiff(path: Path, values: np.ndarray, *, order: str = "<", planar: int = 1, **tags: object) -> Path:
    """An uncompressed TIFF file of values of shape (H, W, samples), written by hand; `tags` by name."""
    height, width, samples = values.shape
    extra_samples = {338: [0] * tags.pop("extra")} if "extra" in tags else {}
    bits = values.dtype.itemsize * 8
    data = np.ascontiguousarray(values.transpose(2, 0, 1) if planar == 2 else values)
    content = tags.pop("content", data.astype(data.dtype.newbyteorder(order)).tobytes())
    strips = samples if planar == 2 else 1
    entries = {
        256: [width],
        257: [height],
        258: [tags.pop("bits", bits)] * samples,
        259: [1],
        262: [tags.pop("photometric", 1)],
        273: [len(content) // strips * i + 8 for i in range(strips)],
        274: [tags.pop("orientation", 1)],
        277: [samples],
        278: [height],
        279: [len(content) // strips] * strips,
        284: [planar],
        **extra_samples,
        339: [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]] * samples,
    }
    assert not tags
    directory, extra = struct.pack(order + "H", len(entries)), b""
    extra_start = 8 + len(content) + 2 + 12 * len(entries) + 4
    for tag, numbers in entries.items():
        field = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            field, extra = struct.pack(order + "I", extra_start + len(extra)), extra + field
        directory += struct.pack(order + "HHI", tag, 4, len(numbers)) + field
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    path.write_bytes(magic + struct.pack(order + "I", 8 + len(content)) + content + directory + bytes(4) + extra)
    return path


def row(path: Path, value_range: tuple[float, float] | None = None) -> list[int]:
    return load_image(path, 1, Decoding(value_range=value_range))[0, :, 0].tolist()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32])
def test_value_range_says_what_is_black_and_what_is_white_and_clips_beyond(tmp_path, dtype, order):
    path = write_tiff(tmp_path / "a.tif", RAMP.astype(dtype)[:, :, None], order=order)
    assert row(path, (100, 300)) == [0, 0, 128, 255, 255]
    assert row(path, (-400.0, 400.0)) == [128, 159, 191, 223, 255]


def test_prediction_reads_values_as_the_model_was_trained_to(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.full((8, 8, 1), 300, np.uint16))
    decoding = Decoding(value_range=(100, 300))
    spec = Preprocessing(image_size=(4, 4), num_channels=1, mean=(0.0,), std=(1.0,), decoding=decoding)
    np.testing.assert_allclose(load_inputs([path], spec), 1.0, rtol=1e-6)


def test_value_range_reaches_16_bit_png_but_no_8_bit_image(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16)).save(tmp_path / "a.png")
    assert row(tmp_path / "a.png", (0, 400)) == [0, 64, 128, 191, 255]
    Image.fromarray(np.array([[0, 100, 200]], np.uint8)).save(tmp_path / "b.png")
    assert row(tmp_path / "b.png", (0, 400)) == [0, 100, 200]


@pytest.mark.parametrize(("magic", "line"), [("P5", None), ("P2", "0 100 200 300 400")])
def test_value_range_of_a_pgm_is_of_its_stored_values(tmp_path, magic, line):
    data = line.encode() if line else RAMP.astype(">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(f"{magic} 5 1 800\n".encode() + data)
    assert row(tmp_path / "a.pgm", (0, 400)) == [0, 64, 128, 191, 255]
    assert row(tmp_path / "a.pgm") == [0, 32, 64, 96, 128]  # its own greatest value is white


def test_unsigned_32_bit_values_are_not_taken_for_negative(tmp_path):
    values = np.array([0, 2**31, 2**32 - 1], np.uint32).reshape(1, 3, 1)
    assert row(write_tiff(tmp_path / "a.tif", values), (0, 2**32 - 1)) == [0, 128, 255]
    with pytest.raises(ImageDecodeError, match=r"set data\.value_range"):
        load_image(tmp_path / "a.tif")


def test_12_bit_tiff_reaches_white(tmp_path):
    content = bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x00])  # 0, 4095, 2048, 0
    path = write_tiff(tmp_path / "a.tif", np.zeros((1, 4, 1), np.uint16), bits=12, content=content)
    assert row(path) == [0, 255, 128, 0]
    assert row(path, (0, 8190)) == [0, 128, 64, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_where_zero_is_white_is_inverted(tmp_path, dtype):
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    values = (np.array([0.0, 0.2, 1.0]) * white).astype(dtype).reshape(1, 3, 1)
    assert row(write_tiff(tmp_path / "a.tif", values, photometric=0)) == [255, 204, 0]


def test_floating_point_values_lie_between_0_and_1_or_say_what_to_set(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.array([0, 0.25, 1], np.float32).reshape(1, 3, 1))
    assert row(path) == [0, 64, 255]
    for bad in (-0.01, 1.01):
        write_tiff(path, np.array([0, bad], np.float32).reshape(1, 2, 1))
        with pytest.raises(ImageDecodeError, match=r"outside 0 to 1; set data\.value_range"):
            load_image(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("value_range", [None, (0.0, 1.0)])
def test_values_that_are_not_finite_are_refused_always(tmp_path, bad, value_range):
    path = write_tiff(tmp_path / "a.tif", np.array([0, bad], np.float32).reshape(1, 2, 1))
    with pytest.raises(ImageDecodeError, match="NaN or infinity"):
        load_image(path, 3, Decoding(value_range=value_range))


def test_negative_values_say_what_to_set(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.array([0, -1], np.int16).reshape(1, 2, 1))
    with pytest.raises(ImageDecodeError, match=r"from -1 to 0, outside 0 to 65535; set data\.value_range"):
        load_image(path)


def test_value_range_is_refused_for_16_bit_colours_rather_than_ignored(tmp_path):
    values = np.full((1, 2, 3), 65535, np.uint16)
    path = write_tiff(tmp_path / "a.tif", values, photometric=2)
    assert (load_image(path) == 255).all()
    with pytest.raises(ImageDecodeError, match="colours of 16 bits"):
        load_image(path, 3, Decoding(value_range=(0, 4095)))


def test_the_transparent_value_of_a_16_bit_png_is_laid_over_white(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16)).save(tmp_path / "a.png", transparency=200)
    assert row(tmp_path / "a.png", (0, 400)) == [0, 64, 255, 191, 255]
    assert load_image(tmp_path / "a.png", 4, Decoding(value_range=(0, 400)))[0, :, 3].tolist() == [
        255,
        255,
        0,
        255,
        255,
    ]


CORNERS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 255, 255], [255, 0, 255]]], np.uint8)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone_in_every_format_that_has_one(tmp_path, suffix, orientation):
    upright = CORNERS.repeat(16, axis=0).repeat(16, axis=1)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"jpg": {"quality": 95, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    image.save(tmp_path / f"a.{suffix}", exif=exif, **options)
    assert np.abs(load_image(tmp_path / f"a.{suffix}").astype(int) - upright).mean() < 4


INKS = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (40, 90, 160, 60), (0, 0, 0, 255)]


@pytest.mark.parametrize("kind", ["CMYK", "YCCK"])
def test_jpeg_in_inks_becomes_the_colours_that_they_print(tmp_path, kind):
    file = tmp_path / "a.jpg"
    for inks in INKS:
        cmyk = Image.new("CMYK", (16, 16), inks)
        if kind == "YCCK":
            # Adobe TN 5116: three inks as luma and chroma. Pillow inverts what it writes, and K is stored inverted.
            luma_chroma = Image.new("RGB", (1, 1), inks[:3]).convert("YCbCr").getpixel((0, 0))
            cmyk = Image.new("CMYK", (16, 16), (*(255 - value for value in luma_chroma), inks[3]))
        cmyk.save(file, quality=100, subsampling=0)
        content = bytearray(file.read_bytes())
        adobe = content.index(b"Adobe")
        content[adobe + 11] = {"CMYK": 0, "YCCK": 2}[kind]
        file.write_bytes(content)
        expected = [(255 - ink) * (255 - inks[3]) / 255 for ink in inks[:3]]
        assert np.abs(load_image(file) - expected).max() <= 3, inks
        assert np.abs(load_image(file, 4) - [*expected, 255]).max() <= 3, inks


def test_a_palette_with_transparent_colours_is_laid_over_white(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "a.png", transparency=bytes([255, 0, 51]))
    expected = [[10, 20, 30], [255, 255, 255], [round(70 * 0.2 + 204), round(80 * 0.2 + 204), round(90 * 0.2 + 204)]]
    assert np.abs(load_image(tmp_path / "a.png")[0] - np.array(expected)).max() <= 1


def test_grey_with_alpha_is_laid_over_white_or_kept_as_two_channels(tmp_path):
    values = np.array([[[0, 255], [0, 0], [100, 51]]], np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", 2).tolist() == values.tolist()
    assert load_image(tmp_path / "a.png", 1)[0, :, 0].tolist() == [0, 255, 224]


def test_progressive_jpeg_is_read_like_baseline(tmp_path):
    image = Image.fromarray(CORNERS.repeat(16, axis=0).repeat(16, axis=1))
    image.save(tmp_path / "a.jpg", quality=90)
    image.save(tmp_path / "b.jpg", quality=90, progressive=True)
    assert b"\xff\xc2" in (tmp_path / "b.jpg").read_bytes()
    np.testing.assert_array_equal(load_image(tmp_path / "b.jpg"), load_image(tmp_path / "a.jpg"))


@pytest.mark.parametrize("suffix", ["webp", "tif", "png"])
def test_of_an_animation_or_several_pages_the_first_counts(tmp_path, suffix):
    pages = [Image.new("RGB", (8, 6), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    pages[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pages[1:], **options)
    assert load_image(tmp_path / f"a.{suffix}")[0, 0].tolist() == [255, 0, 0]


def test_an_animated_gif_is_refused_whatever_its_name(tmp_path):
    pages = [Image.new("P", (8, 6), color) for color in (0, 1)]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(ImageDecodeError, match="none of the image formats"):
        load_image(tmp_path / "a.png")


BANDS = np.random.default_rng(0).integers(0, 256, (4, 7, 6), dtype=np.uint8)


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_many_bands_comes_out_band_by_band(tmp_path, planar, order):
    pytest.importorskip("tifffile", reason="lt-data[tiff] is not installed")
    path = write_tiff(tmp_path / "a.tif", BANDS, planar=planar, order=order)
    np.testing.assert_array_equal(load_image(path, 6), BANDS)
    np.testing.assert_array_equal(load_image(path.read_bytes(), 6, max_pixels=28), BANDS)
    with pytest.raises(ImageDecodeError, match="7 x 4 pixels are above 27"):
        load_image(path, 6, max_pixels=27)
    wide = write_tiff(tmp_path / "b.tif", BANDS.astype(np.uint16) * 257, planar=planar, order=order)
    np.testing.assert_array_equal(load_image(wide, 6), BANDS)
    clipped = load_image(wide, 6, Decoding(value_range=(0, 128 * 257)))
    np.testing.assert_array_equal(clipped == 255, BANDS.astype(int) * 255 / 128 >= 254.5)
    unit = write_tiff(tmp_path / "c.tif", BANDS.astype(np.float32) / 255, planar=planar, order=order)
    np.testing.assert_array_equal(load_image(unit, 6), BANDS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_of_many_bands_is_turned_upright(tmp_path, orientation):
    pytest.importorskip("tifffile", reason="lt-data[tiff] is not installed")
    grey = write_tiff(tmp_path / "grey.tif", BANDS[:, :, :1], orientation=orientation)
    path = write_tiff(tmp_path / "a.tif", BANDS, orientation=orientation)
    np.testing.assert_array_equal(load_image(path, 6)[:, :, 0], load_image(grey, 1)[:, :, 0])


def test_tiff_of_many_bands_is_refused_where_it_cannot_be_had_as_asked(tmp_path):
    path = write_tiff(tmp_path / "a.tif", BANDS)
    rgb_and_more = write_tiff(tmp_path / "rgb.tif", BANDS[:, :, :5], photometric=2, extra=2)
    for channels in (1, 3, 4):
        with pytest.raises(ImageDecodeError, match=r"a\.tif"):
            load_image(path, channels)
        with pytest.raises(ImageDecodeError, match="has 5 channels; ask for 5"):
            load_image(rgb_and_more, channels)
    pytest.importorskip("tifffile", reason="lt-data[tiff] is not installed")
    with pytest.raises(ImageDecodeError, match="has 6 channels, expected 5"):
        load_image(path, 5)
    with pytest.raises(ImageDecodeError, match="no frame of index 1"):
        load_image(Frame(path, 1), 6)
    with pytest.raises(ImageDecodeError, match="outside 0 to 1"):
        load_image(write_tiff(tmp_path / "b.tif", BANDS.astype(np.float32)), 6)
    with pytest.raises(ImageDecodeError, match="int32"):
        load_image(write_tiff(tmp_path / "c.tif", BANDS.astype(np.int32)), 6)
    content = path.read_bytes()
    path.write_bytes(content[:4] + struct.pack("<I", 9999) + content[8:])
    with pytest.raises(ImageDecodeError, match=r"a\.tif"):
        load_image(path, 6)


def test_tiff_of_many_bands_and_too_many_pixels_is_refused_before_decoding(tmp_path):
    pytest.importorskip("tifffile", reason="lt-data[tiff] is not installed")
    path = write_tiff(tmp_path / "a.tif", BANDS)
    content = bytearray(path.read_bytes())
    for tag in (256, 257):
        position = content.index(struct.pack("<HHI", tag, 4, 1)) + 8
        content[position : position + 4] = struct.pack("<I", 60_000)
    path.write_bytes(content)
    with pytest.raises(ImageDecodeError, match="60000 x 60000 x 6 values are above"):
        load_image(path, 6)


@pytest.mark.filterwarnings("ignore")
def test_mutated_tiff_of_many_bands_gives_an_image_or_an_image_decode_error(tmp_path):
    pytest.importorskip("tifffile", reason="lt-data[tiff] is not installed")
    content = write_tiff(tmp_path / "a.tif", BANDS, planar=2).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        mutant = bytearray(content)
        for position in rng.integers(8 + BANDS.size, len(content), size=2):
            mutant[position] = rng.integers(256)
        (tmp_path / "mutant.tif").write_bytes(mutant)
        try:
            assert load_image(tmp_path / "mutant.tif", 6).dtype == np.uint8
        except ImageDecodeError as error:
            assert error.path == tmp_path / "mutant.tif"


@pytest.mark.parametrize("channels", [2, 5, 13])
def test_arrays_of_any_number_of_channels_stay_as_they_are(channels):
    array = np.random.default_rng(0).integers(0, 256, (3, 4, channels), dtype=np.uint8)
    np.testing.assert_array_equal(load_image(array, channels), array)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("IM000001", True), ("1.2.840.5", True), ("scan.0001", True), ("a.png", False), ("a.dcm", False), ("a.5b", False)],
)
def test_names_that_say_nothing_may_be_dicom(name, expected):
    assert may_be_dicom(name) is expected
    assert not (may_be_dicom(name) and is_image_name(name))


def dicom_head(uid: str) -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    private = b"\x02\x00\x02\x01OB\0\0\x04\x00\x00\x00abcd"
    version = b"\x02\x00\x01\x00OB\0\0\x02\x00\x00\x00\x00\x01"
    return bytes(128) + b"DICM" + version + b"\x02\x00\x10\x00UI" + struct.pack("<H", len(value)) + value + private


def test_dicom_is_told_by_its_content(tmp_path):
    (tmp_path / "yes").write_bytes(dicom_head("1.2"))
    (tmp_path / "no.dcm").write_bytes(b"DICM" * 20)
    assert sniff_dicom(tmp_path / "yes")
    assert not sniff_dicom(tmp_path / "no.dcm")
    assert not sniff_dicom(tmp_path)
    assert not sniff_dicom(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_pipe_is_never_opened_to_find_out(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not sniff_dicom(tmp_path / "pipe")
    assert undecodable(tmp_path / "pipe") is None


def test_a_transfer_syntax_that_nothing_decodes_is_named_before_training(tmp_path):
    pytest.importorskip("pydicom", reason="lt-data[dicom] is not installed")
    for uid in ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.1000000"):
        (tmp_path / "film").write_bytes(dicom_head(uid))
        assert f"transfer syntax {uid} is none" in (undecodable(tmp_path / "film") or "")
    for uid in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"):
        (tmp_path / "film").write_bytes(dicom_head(uid))
        assert undecodable(tmp_path / "film") is None


def test_what_is_not_dicom_is_none_of_its_business(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    assert undecodable(tmp_path / "a.dcm") is None
    assert undecodable(tmp_path / "nowhere.dcm") is None


def without(modules: str, expression: str, path: Path) -> str:
    """What evaluating an expression says where modules are not installed."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys({modules.split()!r}))
from pathlib import Path
from lt_data import ImageDecodeError, load_image
from lt_data.images.dicom import frame_count
from lt_data.images.transfer_syntax import undecodable
path = Path({str(path)!r})
try:
    print({expression})
except ImageDecodeError as error:
    print(error)
"""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_without_pydicom_the_error_says_how_to_install_it(tmp_path):
    (tmp_path / "a.dcm").write_bytes(dicom_head("1.2.840.10008.1.2.1"))
    for expression in ("load_image(path)", "frame_count(path)", "undecodable(path)"):
        said = without("pydicom", expression, tmp_path / "a.dcm")
        assert said.endswith('DICOM files need pydicom: pip install "lt-data[dicom]"'), expression
    (tmp_path / "a.dcm").write_bytes(dicom_head("1.2.840.10008.1.2.1")[132:])
    assert without("pydicom", "undecodable(path)", tmp_path / "a.dcm").startswith("DICOM files need pydicom")


@pytest.mark.parametrize(
    ("modules", "uid", "reason"),
    [
        ("libjpeg", "1.2.840.10008.1.2.4.50", "JPEG Baseline (1.2.840.10008.1.2.4.50) needs pylibjpeg-libjpeg"),
        ("openjpeg", "1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless (1.2.840.10008.1.2.4.90) needs pylibjpeg-openjpeg"),
        ("pylibjpeg libjpeg", "1.2.840.10008.1.2.4.80", "needs pylibjpeg and pylibjpeg-libjpeg"),
    ],
)
def test_without_a_decoder_the_error_names_the_transfer_syntax_and_how_to_install_it(tmp_path, modules, uid, reason):
    pytest.importorskip("pydicom", reason="lt-data[dicom] is not installed")
    (tmp_path / "a.dcm").write_bytes(dicom_head(uid))
    for expression in ("load_image(path)", "undecodable(path)"):
        said = without(modules, expression, tmp_path / "a.dcm")
        assert reason in said, expression
        assert said.endswith(': pip install "lt-data[dicom]"'), expression


def test_without_pydicom_or_tifffile_everything_else_is_read(tmp_path):
    Image.new("L", (2, 2), 9).save(tmp_path / "a.tif")
    assert without("pydicom tifffile", "load_image(path).max()", tmp_path / "a.tif") == "9"


def test_without_tifffile_the_error_says_how_to_install_it(tmp_path):
    path = write_tiff(tmp_path / "a.tif", BANDS)
    said = without("tifffile", "load_image(path, 6)", path)
    assert said == f'{path}: TIFF with 6 channels needs tifffile: pip install "lt-data[tiff]"'


def test_the_verdict_on_a_known_transfer_syntax_is_remembered():
    missing("1.2.840.10008.1.2.1")
    hits = missing.cache_info().hits
    missing("1.2.840.10008.1.2.1")
    assert missing.cache_info().hits == hits + 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "F", "I;16"])
def test_large_images_are_worked_on_in_parts_which_changes_nothing(tmp_path, monkeypatch, mode):
    rng = np.random.default_rng(0)
    values = {
        "RGBA": rng.integers(0, 256, (33, 20, 4), dtype=np.uint8),
        "LA": rng.integers(0, 256, (33, 20, 2), dtype=np.uint8),
        "F": rng.random((33, 20), dtype=np.float32),
        "I;16": rng.integers(0, 65536, (33, 20), dtype=np.uint16),
    }[mode]
    Image.fromarray(values).save(tmp_path / "image.tif")
    whole = load_image(tmp_path / "image.tif")
    monkeypatch.setattr("lt_data.images.modes.PIXELS_AT_ONCE", 100)
    np.testing.assert_array_equal(load_image(tmp_path / "image.tif"), whole)
