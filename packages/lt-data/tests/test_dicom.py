from __future__ import annotations

import io
import itertools
import struct
import threading
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_data import Decoding, Frame, ImageDecodeError, load_image
from lt_data.images.dicom import frame_count

pydicom = pytest.importorskip("pydicom", reason="lt-data[dicom] is not installed")
pytest.importorskip("libjpeg", reason="lt-data[dicom] is not installed")
pytest.importorskip("openjpeg", reason="lt-data[dicom] is not installed")

from pydicom import uid  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.pixels import processing  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402

SHIPPED = Path(pydicom.__file__).parent / "data"

NOT_DECODED = {
    "JPEG-lossy.dcm": "misplaced marker",
    "JPEG2000-embedded-sequence-delimiter.dcm": "has a frame of 3722445056 x 1024 x 1, expected 256 x 1024 x 1",
    "MR_truncated.dcm": "has 8130 bytes of pixel data, expected 8192",
    "badVR.dcm": "has NumberOfFrames '1A', expected an integer",
    "meta_missing_tsyntax.dcm": "is DICOM without an image",
    "nested_priv_SQ.dcm": "is DICOM without an image",
}
"""Of the files that pydicom ships with pixel data, those that are broken on purpose."""


def shipped_images() -> list[Path]:
    files = [path for path in sorted(SHIPPED.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc")]
    return [path for path in files if has_pixels(path)]


def has_pixels(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True)
        except Exception:
            return False
    return "PixelData" in dataset


def reference(path: Path) -> np.ndarray:
    """Brightness in [0, 1] by pydicom's own functions, of shape (H, W) or (H, W, 3)."""
    dataset = pydicom.dcmread(path)
    frame = int(dataset.get("NumberOfFrames", 1) or 1) // 2
    plugin = "" if dataset.file_meta.TransferSyntaxUID == uid.RLELossless else "pylibjpeg"
    values = pydicom.pixels.pixel_array(dataset, index=frame, decoding_plugin=plugin)
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        colors = processing.apply_color_lut(values, dataset)
        return colors / np.iinfo(colors.dtype).max
    if dataset.SamplesPerPixel == 3:
        return values / (2.0**dataset.BitsStored - 1)
    values = processing.apply_modality_lut(values, dataset)
    if dataset.get("WindowCenter") is not None:
        signed = dataset.PixelRepresentation
        ends = np.array([-(2.0 ** (dataset.BitsStored - 1)), 2.0 ** (dataset.BitsStored - 1) - 1])
        ends = processing.apply_modality_lut(ends if signed else ends - ends[0], dataset)
        black, white = ends
        shown = processing.apply_voi_lut(values, dataset)
    else:
        padding = dataset.get("PixelPaddingValue")
        stored = pydicom.pixels.pixel_array(dataset, index=frame, decoding_plugin=plugin)
        inside = values[stored != padding] if padding is not None else values
        black, white = float(inside.min()), float(inside.max())
        shown = np.clip(values, black, white)
    brightness = (shown - black) / (white - black) if white > black else np.zeros(values.shape)
    return 1.0 - brightness if photometric == "MONOCHROME1" else brightness


@pytest.mark.filterwarnings("ignore")  # of pydicom, for the reference
@pytest.mark.parametrize("path", shipped_images(), ids=lambda path: path.name)
def test_every_file_that_pydicom_ships_is_shown_as_pydicom_shows_it_or_refused_with_the_reason(path):
    if path.name in NOT_DECODED:
        with pytest.raises(ImageDecodeError, match=NOT_DECODED[path.name]) as caught:
            load_image(path)
        assert caught.value.path == path
        return
    expected = reference(path) * 255
    pixels = load_image(path)
    expected = expected if expected.ndim == 3 else np.stack([expected] * 3, axis=2)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1
    if path.read_bytes()[128:132] == b"DICM":
        np.testing.assert_array_equal(load_image(path.read_bytes()), pixels)
    with pytest.raises(ImageDecodeError, match="pixels are above"):
        load_image(path, max_pixels=pixels.shape[0] * pixels.shape[1] - 1)


def test_there_are_as_many_of_them_as_expected():
    assert len(shipped_images()) >= 100
    assert set(NOT_DECODED) <= {path.name for path in shipped_images()}


@pytest.mark.filterwarnings("ignore")
def test_subsampled_colours_in_jpeg_come_out_as_pillow_reads_the_same_jpeg():
    path = SHIPPED / "test_files" / "SC_rgb_jpeg_dcmtk.dcm"
    jpeg = pydicom.encaps.get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)
    expected = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
    assert np.abs(load_image(path) - expected).mean() < 1.5


def write(path: Path, values: np.ndarray, syntax: str = uid.ExplicitVRLittleEndian, **elements: object) -> Path:
    """A DICOM file of values of shape (H, W), or (F, H, W) for frames; `elements` by keyword."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    if values.dtype.kind == "f":
        del dataset.BitsStored, dataset.PixelRepresentation
        setattr(dataset, {4: "FloatPixelData", 8: "DoubleFloatPixelData"}[values.dtype.itemsize], values.tobytes())
    else:
        dataset.PixelData = values.tobytes()
        dataset["PixelData"].VR = "OW"
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    if "BitsStored" in dataset and "HighBit" not in dataset:
        dataset.HighBit = dataset.BitsStored - 1
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_colors(path: Path, colors: np.ndarray, photometric: str = "RGB", **elements: object) -> Path:
    layout = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": photometric}
    return write(path, colors[:, :, 0], **{**layout, "PixelData": colors.tobytes(), **elements})


def write_compressed(path: Path, frames: list[bytes], syntax: str, values: np.ndarray, **elements: object) -> Path:
    dataset = pydicom.dcmread(write(path, values, **elements))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


def table(first: int, bits: int, entries: list[int]) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item.LUTData = struct.pack(f"<{len(entries)}H", *entries)
    item["LUTData"].VR = "OW"
    return Sequence([item])


def row(path: Path, decoding: Decoding | None = None, frame: int | None = None) -> list[int]:
    """The pixels of the first row, as one channel."""
    return load_image(path if frame is None else Frame(path, frame), 1, decoding or Decoding())[0, :, 0].tolist()


def to_bytes(brightness: list[float]) -> list[int]:
    return [int(value * 255 + 0.5) for value in brightness]


RAMP = np.array([[0, 10, 20, 30, 40]], np.uint16)


def test_a_monochrome1_file_equals_its_monochrome2_twin(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (9, 7), dtype=np.uint16)
    windows = {"none": {}, "window": {"WindowCenter": 2000, "WindowWidth": 800}}
    for name, window in windows.items():
        bright = write(tmp_path / f"{name}2.dcm", values, BitsStored=12, **window)
        mirrored = {"WindowCenter": 4095 - 2000 + 1, "WindowWidth": 800} if window else {}
        dark = write(
            tmp_path / f"{name}1.dcm", 4095 - values, BitsStored=12, PhotometricInterpretation="MONOCHROME1", **mirrored
        )
        for decoding in (Decoding(), Decoding(dicom_window="off")):
            np.testing.assert_array_equal(load_image(dark, 1, decoding), load_image(bright, 1, decoding))


def test_monochrome1_is_inverted_after_the_window_not_before(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, PhotometricInterpretation="MONOCHROME1", WindowCenter=10.5, WindowWidth=21)
    assert row(path) == [255, 128, 0, 0, 0]  # (10 - 10) / 20 + 1/2 = 1/2 inverted is 127.5, rounded up


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # PS3.3 C.11.2.1.2.1: (x - (c - 1/2)) / (w - 1) + 1/2, with c = 20, w = 21.
        ("LINEAR", [0.0, 0.025, 0.525, 1.0, 1.0]),
        # C.11.2.1.3.2: (x - c) / w + 1/2.
        ("LINEAR_EXACT", [0.0, 0.5 - 10 / 21, 0.5, 0.5 + 10 / 21, 1.0]),
        # C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w)).
        ("SIGMOID", [1 / (1 + np.exp(-4 * (x - 20) / 21)) for x in (0, 10, 20, 30, 40)]),
    ],
)
def test_window_functions_follow_the_standards_formulas(tmp_path, function, expected):
    path = write(tmp_path / "a.dcm", RAMP, WindowCenter=20, WindowWidth=21, VOILUTFunction=function)
    assert row(path) == to_bytes(expected)


def test_a_linear_window_of_width_one_is_a_threshold(tmp_path):
    assert row(write(tmp_path / "a.dcm", RAMP, WindowCenter=20.5, WindowWidth=1)) == [0, 0, 0, 255, 255]


def test_a_steep_sigmoid_does_not_overflow(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, WindowCenter=20, WindowWidth=0.001, VOILUTFunction="SIGMOID")
    assert row(path) == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"WindowWidth": 0}, "width 0, too narrow for LINEAR"),
        ({"WindowWidth": 0, "VOILUTFunction": "LINEAR_EXACT"}, "too narrow"),
        ({"WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "CUBIC"),
    ],
)
def test_a_window_that_is_none_of_the_standard_is_refused_and_can_be_replaced(tmp_path, elements, reason):
    path = write(tmp_path / "a.dcm", RAMP, WindowCenter=20, **elements)
    with pytest.raises(ImageDecodeError, match=reason) as caught:
        load_image(path)
    assert "data.dicom_window" in str(caught.value)
    assert row(path, Decoding(dicom_window=(20.0, 40.0))) == [0, 64, 128, 191, 255]


def test_of_several_windows_the_first_counts(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, WindowCenter=[10.5, 999], WindowWidth=[21, 2])
    assert row(path) == [0, 128, 255, 255, 255]


def test_an_empty_window_is_no_window(tmp_path):
    assert row(write(tmp_path / "a.dcm", RAMP + 100, WindowCenter=None, WindowWidth=None)) == [0, 64, 128, 191, 255]


def test_without_a_window_the_frame_spans_from_its_least_to_its_greatest_value(tmp_path):
    assert row(write(tmp_path / "a.dcm", RAMP + 1000)) == [0, 64, 128, 191, 255]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_constant_frame_without_a_window_is_black(tmp_path, photometric):
    path = write(tmp_path / "a.dcm", np.full((2, 3), 7, np.uint16), PhotometricInterpretation=photometric)
    assert not load_image(path).any()


def test_slope_and_intercept_come_before_the_window(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, RescaleSlope=2, RescaleIntercept=-40, WindowCenter=0.5, WindowWidth=81)
    assert row(path) == [0, 64, 128, 191, 255]


def test_a_negative_slope_turns_the_order_of_values(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, RescaleSlope=-1, RescaleIntercept=0)
    assert row(path) == [255, 191, 128, 64, 0]
    assert row(path, Decoding(dicom_window="off"))[0] == 255


@pytest.mark.parametrize("elements", [{"RescaleSlope": 0, "RescaleIntercept": 1}, {"RescaleSlope": 2}])
def test_half_a_transform_is_refused(tmp_path, elements):
    with pytest.raises(ImageDecodeError, match="rescale slope"):
        load_image(write(tmp_path / "a.dcm", RAMP, **elements))


def test_the_given_window_replaces_the_files_and_reaches_from_half_a_width_below_to_half_above(tmp_path):
    values = np.array([[-1400, -600, 0, 40, 400]], np.int16)
    path = write(tmp_path / "a.dcm", values, WindowCenter=0, WindowWidth=10)
    assert row(path, Decoding(dicom_window=(40.0, 400.0))) == to_bytes([0, 0, 160 / 400, 0.5, 1])
    assert row(path, Decoding(dicom_window=(-600.0, 1600.0))) == to_bytes([0, 0.5, 1400 / 1600, 0.9, 1])


@pytest.mark.parametrize(
    ("values", "elements", "expected"),
    [
        (np.array([[0, 1000, 4095]], np.uint16), {"BitsStored": 12}, [0, 1000 / 4095, 1]),
        (np.array([[-2048, 0, 2047]], np.int16), {"BitsStored": 12}, [0, 2048 / 4095, 1]),
        (np.array([[0, 51, 255]], np.uint8), {"RescaleSlope": 3, "RescaleIntercept": -7}, [0, 0.2, 1]),
        (np.array([[-128, 0, 127]], np.int8), {}, [0, 128 / 255, 1]),
        (np.array([[0, 2**31, 2**32 - 1]], np.uint32), {}, [0, 0.5, 1]),
    ],
)
def test_off_takes_the_whole_range_that_stored_values_may_have(tmp_path, values, elements, expected):
    path = write(tmp_path / "a.dcm", values, WindowCenter=1, WindowWidth=2, **elements)
    assert row(path, Decoding(dicom_window="off")) == to_bytes(expected)


def test_off_with_a_modality_table_takes_the_range_of_its_entries(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, ModalityLUTSequence=table(10, 10, [0, 1023, 512]))
    assert row(path, Decoding(dicom_window="off")) == to_bytes([0, 0, 512 / 1023, 512 / 1023, 512 / 1023])


def test_signed_values_keep_their_sign(tmp_path):
    values = np.array([[-1000, -500, 0, 500, 1000]], np.int16)
    assert row(write(tmp_path / "a.dcm", values)) == [0, 64, 128, 191, 255]


def test_bits_that_are_not_stored_do_not_count(tmp_path):
    values = np.array([[0xF000, 0x0FFF, 0x5800]], np.uint16)
    assert row(write(tmp_path / "a.dcm", values, BitsStored=12)) == to_bytes([0, 1, 0x800 / 0xFFF])


def test_values_in_the_upper_bits_are_refused_rather_than_cut(tmp_path):
    with pytest.raises(ImageDecodeError, match="12 bits up to bit 15"):
        load_image(write(tmp_path / "a.dcm", RAMP << 4, BitsStored=12, HighBit=15))


def test_big_values_are_shown_like_small_ones(tmp_path):
    values = np.array([[0, 10_000_000, 20_000_000, 30_000_000, 40_000_000]], np.uint32)
    assert row(write(tmp_path / "a.dcm", values)) == [0, 64, 128, 191, 255]


def test_one_bit_frames_are_black_and_white(tmp_path):
    bits = np.zeros((2, 3, 3), bool)
    bits[1, 1] = True
    path = write(
        tmp_path / "a.dcm",
        np.zeros((2, 3, 3), np.uint8),
        BitsAllocated=1,
        BitsStored=1,
        PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes() + b"\0",
    )
    np.testing.assert_array_equal(load_image(Frame(path, 1), 1)[:, :, 0], bits[1] * 255)


def test_tables_take_values_outside_to_their_ends(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, VOILUTSequence=table(9, 12, [100, 4095, *range(9), 2000]))
    assert row(path) == to_bytes([100 / 4095, 1, 2000 / 4095, 2000 / 4095, 2000 / 4095])


def test_the_files_table_wins_over_its_window(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, VOILUTSequence=table(0, 8, [0, 255]), WindowCenter=20, WindowWidth=40)
    assert row(path) == [0, 255, 255, 255, 255]


def test_a_modality_table_comes_before_the_table_of_interest(tmp_path):
    modality, interest = table(10, 16, [7, 8, 9]), table(7, 8, [10, 20, 30])
    path = write(
        tmp_path / "a.dcm", np.array([[10, 11, 12]], np.uint16), ModalityLUTSequence=modality, VOILUTSequence=interest
    )
    assert row(path) == [10, 20, 30]


def test_a_table_may_begin_below_zero(tmp_path):
    path = write(tmp_path / "a.dcm", np.array([[-2, -1, 0]], np.int16), VOILUTSequence=table(-2, 8, [1, 2, 3]))
    assert row(path) == [1, 2, 3]


def test_a_table_of_bytes_is_read_byte_by_byte(tmp_path):
    sequence = table(0, 8, [0] * 4)
    sequence[0].LUTData = bytes([9, 8, 7, 6])
    assert row(write(tmp_path / "a.dcm", RAMP // 10, VOILUTSequence=sequence)) == [9, 8, 7, 6, 6]


@pytest.mark.parametrize("bad", [table(0, 8, [0, 256]), table(0, 17, [0, 1]), table(0, 0, [0, 1])])
def test_a_table_whose_entries_have_more_bits_than_it_says_is_refused(tmp_path, bad):
    with pytest.raises(ImageDecodeError, match="lookup table"):
        load_image(write(tmp_path / "a.dcm", RAMP, VOILUTSequence=bad))


def test_a_table_that_is_cut_is_refused(tmp_path):
    bad = table(0, 16, [1, 2, 3])
    bad[0].LUTDescriptor = [300, 0, 16]
    with pytest.raises(ImageDecodeError, match="lookup table of 3 entries, expected 300"):
        load_image(write(tmp_path / "a.dcm", RAMP, VOILUTSequence=bad))


def test_padding_is_left_out_of_the_range(tmp_path):
    values = np.array([[-2000, 0, 10, 20, 3000]], np.int16)
    assert row(write(tmp_path / "one.dcm", values, PixelPaddingValue=-2000)) == to_bytes(
        [0, 0, 10 / 3000, 20 / 3000, 1]
    )
    limits = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": 0}
    assert row(write(tmp_path / "range.dcm", values, **limits)) == to_bytes([0, 0, 0, 10 / 2990, 1])
    assert row(write(tmp_path / "all.dcm", values * 0, PixelPaddingValue=0)) == [0] * 5


def group(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def window_group(center: float, width: float) -> Sequence:
    return Sequence([group(WindowCenter=center, WindowWidth=width)])


def test_frames_of_an_enhanced_file_have_their_own_window_and_share_their_slope(tmp_path):
    frames = np.stack([RAMP, RAMP, RAMP])
    shared = group(
        PixelValueTransformationSequence=Sequence([group(RescaleSlope=2, RescaleIntercept=0, RescaleType="US")]),
        FrameVOILUTSequence=window_group(40.5, 81),
    )
    own = [
        group(FrameVOILUTSequence=window_group(20.5, 41)),
        group(),
        group(FrameVOILUTSequence=window_group(10.5, 21)),
    ]
    path = write(
        tmp_path / "a.dcm",
        frames,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(own),
        WindowCenter=9999,
        WindowWidth=1,
    )
    assert row(path, frame=0) == [0, 128, 255, 255, 255]
    assert row(path, frame=1) == [0, 64, 128, 191, 255]
    assert row(path, frame=2) == [0, 255, 255, 255, 255]


def test_a_frame_without_functional_groups_of_its_own_is_refused_not_guessed(tmp_path):
    groups = Sequence([group(FrameVOILUTSequence=window_group(20.5, 41))])
    path = write(tmp_path / "a.dcm", np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=groups)
    with pytest.raises(ImageDecodeError, match="damaged"):
        load_image(Frame(path, 1))


@pytest.fixture
def five_frames(tmp_path: Path) -> Path:
    return write(
        tmp_path / "film.dcm",
        np.stack([np.full((2, 3), i * 10, np.uint8) for i in range(5)]),
        WindowCenter=25.5,
        WindowWidth=51,
    )


def test_the_middle_an_index_or_a_frame_decides_which_one_is_read(five_frames):
    assert row(five_frames)[0] == 2 * 51
    for index in range(5):
        assert row(five_frames, Decoding(dicom_frame=index))[0] == index * 51
        for decoding in (Decoding(), Decoding(dicom_frame=0), Decoding(dicom_frame="all")):
            assert row(five_frames, decoding, frame=index)[0] == index * 51


@pytest.mark.parametrize("index", [5, 99])
def test_a_frame_that_the_file_does_not_have_is_an_error_with_their_number(five_frames, index):
    with pytest.raises(ImageDecodeError, match=f"has 5 frames, no frame of index {index}"):
        load_image(five_frames, 3, Decoding(dicom_frame=index))
    with pytest.raises(ImageDecodeError, match=f"has 5 frames, no frame of index {index}"):
        load_image(Frame(five_frames, index))


def test_with_all_frames_a_plain_path_must_say_which(tmp_path, five_frames):
    with pytest.raises(ImageDecodeError, match=r"lt_data.Frame\(path, index\)"):
        load_image(five_frames, 3, Decoding(dicom_frame="all"))
    single = write(tmp_path / "single.dcm", RAMP)
    assert row(single, Decoding(dicom_frame="all")) == row(single)


def test_frames_are_counted_from_the_header(tmp_path, five_frames):
    assert frame_count(five_frames) == 5
    assert frame_count(write(tmp_path / "single.dcm", RAMP)) == 1
    with pytest.raises(ImageDecodeError, match="nowhere.dcm"):
        frame_count(tmp_path / "nowhere.dcm")


@pytest.mark.parametrize("frames", [10**6, -1])
def test_more_frames_than_the_file_can_hold_are_refused(tmp_path, frames):
    path = write(tmp_path / "a.dcm", RAMP, NumberOfFrames=frames)
    with pytest.raises(ImageDecodeError):
        frame_count(path)
    compressed = write_compressed(
        tmp_path / "b.dcm", [b"\xff\xd8" + bytes(30)], uid.JPEGBaseline8Bit, RAMP.astype(np.uint8), NumberOfFrames=1
    )
    dataset = pydicom.dcmread(compressed)
    dataset.NumberOfFrames = frames
    dataset.save_as(compressed)
    with pytest.raises(ImageDecodeError, match="frames"):
        frame_count(compressed)


def test_only_dicom_has_frames(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    assert load_image(Frame(tmp_path / "a.png", 0)).shape == (2, 2, 3)
    with pytest.raises(ImageDecodeError, match="is not DICOM and has no frame of index 1"):
        load_image(Frame(tmp_path / "a.png", 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_colours_are_scaled_by_their_bits_and_take_no_window(tmp_path, dtype):
    unit = np.random.default_rng(0).random((4, 5, 3))
    colors = np.rint(unit * np.iinfo(dtype).max).astype(dtype)
    path = write_colors(tmp_path / "a.dcm", colors, WindowCenter=1, WindowWidth=1)
    for decoding in (Decoding(), Decoding(dicom_window=(1.0, 2.0)), Decoding(dicom_window="off")):
        assert np.abs(load_image(path, 3, decoding) - unit * 255).max() <= 1


def test_colours_of_12_bits_reach_white(tmp_path):
    colors = np.full((1, 2, 3), 4095, np.uint16)
    assert (load_image(write_colors(tmp_path / "a.dcm", colors, BitsStored=12)) == 255).all()


def test_planes_and_pixels_give_the_same_colours(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    planes = write_colors(
        tmp_path / "a.dcm",
        colors,
        PlanarConfiguration=1,
        PixelData=np.ascontiguousarray(colors.transpose(2, 0, 1)).tobytes(),
    )
    np.testing.assert_array_equal(load_image(planes), colors)


def test_luma_and_chroma_become_rgb(tmp_path):
    # PS3.3 C.7.6.3.1.2: pure red, green, blue and grey.
    colors = np.array([[[76, 85, 255], [150, 44, 21], [29, 255, 107], [99, 128, 128]]], np.uint8)
    expected = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [99, 99, 99]]])
    assert np.abs(load_image(write_colors(tmp_path / "a.dcm", colors, "YBR_FULL")) - expected).max() <= 2
    with pytest.raises(ImageDecodeError):
        load_image(write_colors(tmp_path / "b.dcm", colors, "YBR_FULL_422"))


def palette(**elements: object) -> dict[str, object]:
    return {"PhotometricInterpretation": "PALETTE COLOR", **elements}


def channels(suffix: str, *values: object) -> dict[str, object]:
    return {
        f"{color}PaletteColorLookupTable{suffix}": value
        for color, value in zip(("Red", "Green", "Blue"), values, strict=True)
    }


def test_a_palette_of_16_bits_gives_its_colours(tmp_path):
    data = [struct.pack("<3H", *entries) for entries in ((0, 0x8080, 0xFFFF), (1, 2, 3), (0xFFFF, 0, 0))]
    elements = palette(**channels("Descriptor", *[[3, 10, 16]] * 3), **channels("Data", *data))
    path = write(tmp_path / "a.dcm", np.array([[9, 10, 11, 12, 200]], np.uint8), **elements)
    expected = [[0, 0, 255], [0, 0, 255], [128, 0, 0], [255, 0, 0], [255, 0, 0]]
    assert load_image(path)[0].tolist() == expected


def test_a_palette_of_8_bits_with_more_than_256_entries_gives_its_colours(tmp_path):
    entries = np.random.default_rng(0).integers(0, 256, (3, 1000), dtype=np.uint8)
    elements = palette(
        **channels("Descriptor", *[[1000, 0, 8]] * 3), **channels("Data", *[e.tobytes() for e in entries])
    )
    index = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    np.testing.assert_array_equal(load_image(write(tmp_path / "a.dcm", index, **elements)), entries.T[index])


def test_a_segmented_palette_is_unrolled(tmp_path):
    # PS3.3 C.7.9.2: two discrete entries, four in a line, the line once more by its offset of 4 words.
    red = struct.pack("<11H", 0, 2, 0, 65535, 1, 4, 0, 2, 1, 8, 0)
    elements = palette(
        **channels("Descriptor", *[[10, 0, 16]] * 3),
        **{f"Segmented{name}": value for name, value in channels("Data", red, red, red).items()},
    )
    index = np.arange(10, dtype=np.uint8).reshape(1, 10)
    line = [0.75, 0.5, 0.25, 0.0]
    with pytest.raises(ImageDecodeError, match="lookup table of 10 entries, expected 11"):
        load_image(write(tmp_path / "short.dcm", index, **{**elements, **channels("Descriptor", *[[11, 0, 16]] * 3)}))
    shown = load_image(write(tmp_path / "a.dcm", index, **elements))[0, :, 0].tolist()
    assert shown == to_bytes([0, 1, *line, 0, 0, 0, 0])


def test_a_segmented_palette_cannot_grow_without_end(tmp_path):
    red = struct.pack("<5H", 0, 1, 9, 1, 65535) + struct.pack("<3H", 5, 1, 65535) * 1000
    elements = palette(
        **channels("Descriptor", *[[10, 0, 16]] * 3),
        **{f"Segmented{name}": value for name, value in channels("Data", red, red, red).items()},
    )
    with pytest.raises(ImageDecodeError, match="more than 10 entries"):
        load_image(write(tmp_path / "a.dcm", RAMP.astype(np.uint8), **elements))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_point_frames_are_shown_like_integers(tmp_path, dtype):
    values = np.array([[-1.5, 0.0, 0.5, 1.0, 2.5]], dtype)
    path = write(tmp_path / "a.dcm", values)
    assert row(path) == to_bytes([(value + 1.5) / 4 for value in values[0]])
    assert row(path, Decoding(dicom_window="off", value_range=(-2.0, 3.0))) == to_bytes(
        [(float(value) + 2) / 5 for value in values[0]]
    )
    with pytest.raises(ImageDecodeError, match="data.value_range"):
        load_image(path, 3, Decoding(dicom_window="off"))
    assert row(write(tmp_path / "unit.dcm", values.clip(0, 1)), Decoding(dicom_window="off")) == [0, 0, 128, 255, 255]
    values[0, 2] = np.nan
    with pytest.raises(ImageDecodeError, match="NaN"):
        load_image(write(tmp_path / "nan.dcm", values))


LOSSLESS = [uid.JPEG2000Lossless, uid.RLELossless]


@pytest.mark.parametrize(
    "syntax",
    [*LOSSLESS, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian],
    ids=lambda syntax: syntax.keyword,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_every_lossless_encoding_gives_the_same_pixels(tmp_path, syntax, dtype):
    values = np.random.default_rng(0).integers(0, 200, (3, 64, 66)).astype(dtype)
    values -= 100 if dtype == np.int16 else 0
    modality = table(-100 if dtype == np.int16 else 0, 16, list(range(0, 60000, 200)))
    plain = write(tmp_path / "plain.dcm", values, VOILUTSequence=modality)
    dataset = pydicom.dcmread(plain)
    if syntax in LOSSLESS:
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(tmp_path / "other.dcm")
    elif syntax == uid.ExplicitVRBigEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = values.byteswap().tobytes() if dtype != np.uint8 else swapped(values.tobytes())
        dataset.VOILUTSequence[0].LUTData = swapped(dataset.VOILUTSequence[0].LUTData)
        rebuilt = Dataset()
        rebuilt.update({element.tag: element for element in dataset})
        rebuilt.file_meta = dataset.file_meta
        rebuilt.save_as(tmp_path / "other.dcm", enforce_file_format=True)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(tmp_path / "other.dcm", implicit_vr=syntax.is_implicit_VR, little_endian=True)
    assert pydicom.dcmread(tmp_path / "other.dcm").file_meta.TransferSyntaxUID == syntax
    assert frame_count(tmp_path / "other.dcm") == 3
    for index in range(3):
        expected = load_image(Frame(plain, index))
        assert expected.std() > 10
        np.testing.assert_array_equal(load_image(Frame(tmp_path / "other.dcm", index)), expected)


def swapped(data: bytes) -> bytes:
    return np.frombuffer(data, np.uint16).byteswap().tobytes()


def test_content_decides_not_the_name(tmp_path):
    source = write(tmp_path / "a.dcm", RAMP)
    for name in ("scan.png", "IM000001", "1.2.840.5", "x.JPG"):
        (tmp_path / name).write_bytes(source.read_bytes())
        assert row(tmp_path / name) == row(source)
    Image.new("L", (3, 2), 77).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.dcm")
    assert (load_image(tmp_path / "b.dcm") == 77).all()


def test_dicom_is_read_from_a_url_like_a_file(tmp_path):
    source = write(tmp_path / "a.dcm", RAMP)
    assert load_image(source.as_uri(), 1)[0, :, 0].tolist() == row(source)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_a_file_without_preamble_is_read_where_its_ending_says_dicom(tmp_path, syntax):
    source = write(tmp_path / "a.dcm", RAMP, syntax, WindowCenter=20.5, WindowWidth=41)
    content = source.read_bytes()
    after_meta = 144 + int.from_bytes(content[140:144], "little")
    for start in (132, after_meta):
        (tmp_path / "bare.dcm").write_bytes(content[start:])
        assert row(tmp_path / "bare.dcm") == row(source) == [0, 64, 128, 191, 255]
    (tmp_path / "bare.png").write_bytes(content[after_meta:])
    with pytest.raises(ImageDecodeError, match="none of the image formats"):
        load_image(tmp_path / "bare.png")


@pytest.mark.parametrize("content", [b"hello", b"%!PS-Adobe-3.0\n", b"%PDF-1.4\n", bytes(500), b"\x08\0" * 99])
def test_other_content_behind_the_ending_of_dicom_is_refused(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(ImageDecodeError, match=r"a.dcm: is not DICOM"):
        load_image(tmp_path / "a.dcm")


def refuse_quickly(path: Path, reason: str, megabytes: int = 40, seconds: float = 3.0) -> None:
    load_image(write(path.parent / "warm.dcm", RAMP))
    tracemalloc.start()
    start = time.monotonic()
    try:
        with pytest.raises(ImageDecodeError, match=reason):
            load_image(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 1e6
    assert time.monotonic() - start < seconds


def test_a_header_that_says_too_many_pixels_is_refused_before_decoding(tmp_path):
    refuse_quickly(write(tmp_path / "a.dcm", RAMP, Rows=65535, Columns=65535), "65535 x 65535 x 1 values are above")


def test_a_deflated_file_is_inflated_up_to_a_bound(tmp_path):
    bomb = write(tmp_path / "a.dcm", RAMP, uid.DeflatedExplicitVRLittleEndian)
    content = bomb.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(zlib.decompress(content[start:], -zlib.MAX_WBITS))
    packed += b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    bomb.write_bytes(content[:start] + packed)
    assert len(packed) < 2e6
    refuse_quickly(bomb, "inflates to more than 134217728 bytes", megabytes=300)


def test_a_deflated_file_that_is_cut_is_refused(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, uid.DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageDecodeError, match="cut"):
        load_image(path)


def jpeg(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_jpeg_frame_of_other_dimensions_than_the_header_is_refused_before_decoding(tmp_path):
    values = np.full((16, 24), 128, np.uint8)
    good = jpeg(values)
    position = good.index(b"\xff\xc0") + 5
    liar = good[:position] + struct.pack(">HH", 60000, 60000) + good[position + 4 :]
    path = tmp_path / "a.dcm"
    window = {"WindowCenter": 128.5, "WindowWidth": 256}
    assert np.abs(load_image(write_compressed(path, [good], uid.JPEGBaseline8Bit, values, **window)) - 128.0).max() < 3
    write_compressed(path, [liar], uid.JPEGBaseline8Bit, values)
    refuse_quickly(path, "has a frame of 60000 x 60000 x 1, expected 24 x 16 x 1")
    colored = jpeg(np.stack([values] * 3, axis=2))
    write_compressed(path, [colored], uid.JPEGBaseline8Bit, values)
    refuse_quickly(path, "has a frame of 24 x 16 x 3, expected 24 x 16 x 1")
    honest, lying = good[position - 5 : position + 8], liar[position - 5 : position + 8]
    twice = good[: position - 5] + honest + lying + good[position + 8 :]
    write_compressed(path, [twice], uid.JPEGBaseline8Bit, values)
    refuse_quickly(path, "gives its dimensions more than once")
    write_compressed(path, [b"hello, world"], uid.JPEGBaseline8Bit, values)
    refuse_quickly(path, "not JPEG")


def test_a_jpeg_2000_frame_of_other_dimensions_than_the_header_is_refused_before_decoding(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (64, 80), dtype=np.uint8)
    path = write(tmp_path / "a.dcm", values)
    dataset = pydicom.dcmread(path)
    dataset.compress(uid.JPEG2000Lossless)
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    liar = frame[:8] + struct.pack(">II", 60000, 60000) + frame[16:24] + struct.pack(">II", 60000, 60000) + frame[32:]
    write_compressed(path, [liar], uid.JPEG2000Lossless, values)
    refuse_quickly(path, "has a frame of 60000 x 60000 x 1, expected 80 x 64 x 1")
    wrapped = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I", 8 + len(liar)) + b"jp2c" + liar
    write_compressed(path, [wrapped], uid.JPEG2000Lossless, values)
    refuse_quickly(path, "has a frame of 60000 x 60000 x 1, expected 80 x 64 x 1")


def test_a_jpeg_that_contradicts_the_header_about_its_colours_is_refused(tmp_path):
    colors = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    content = jpeg(colors)
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
    kinds = {"RGB": b"\x01", "YBR_FULL_422": b"\x00"}
    for photometric, transform in kinds.items():
        elements = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": photometric}
        path = write_compressed(
            tmp_path / "a.dcm",
            [content[:2] + adobe + transform + content[20:]],
            uid.JPEGBaseline8Bit,
            colors[:, :, 0],
            **elements,
        )
        with pytest.raises(ImageDecodeError, match="but its frame is"):
            load_image(path)


def test_pixel_data_of_another_length_than_the_header_describes_are_refused(tmp_path):
    for name, change in {"short": {"Rows": 2}, "long": {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}}.items():
        with pytest.raises(ImageDecodeError, match="bytes of pixel data"):
            load_image(write(tmp_path / f"{name}.dcm", RAMP, **change))
    path = write(tmp_path / "cut.dcm", np.zeros((64, 64), np.uint16))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageDecodeError, match="cut"):
        load_image(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PhotometricInterpretation": "HSV"}, "photometric interpretation HSV"),
        ({"SamplesPerPixel": 4}, "4 samples per pixel"),
        ({"PhotometricInterpretation": "RGB"}, "1 samples per pixel"),
        ({"Rows": 0}, "0 rows"),
        ({"BitsStored": 20, "HighBit": 19}, "20 bits stored of 16"),
        ({"PixelRepresentation": 2}, "Pixel Representation"),
    ],
)
def test_headers_that_describe_no_image_are_refused(tmp_path, change, reason):
    with pytest.raises(ImageDecodeError, match=reason):
        load_image(write(tmp_path / "a.dcm", RAMP, **change))


def test_files_without_pixels_are_no_images(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP)
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(ImageDecodeError, match="is DICOM without pixel data"):
        load_image(path)


def test_a_transfer_syntax_of_another_kind_is_named(tmp_path):
    path = write_compressed(tmp_path / "a.dcm", [b"film"], uid.MPEG2MPML, RAMP)
    with pytest.raises(ImageDecodeError, match=r"1\.2\.840\.10008\.1\.2\.4\.100"):
        load_image(path)


def nested(depth: int) -> bytes:
    """Explicit little endian sequences of undefined length, one within the other, in a private element."""
    start, end = b"", b""
    for _ in range(depth):
        start += b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
        end += b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return start + end


def test_sequences_nested_too_deep_are_an_error_not_a_crash(tmp_path):
    content = write(tmp_path / "a.dcm", RAMP).read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    (tmp_path / "deep.dcm").write_bytes(content[:start] + nested(20_000) + content[start:])
    with pytest.raises(ImageDecodeError, match="RecursionError"):
        load_image(tmp_path / "deep.dcm")


def test_oddities_in_a_header_say_nothing_on_the_screen_and_stop_nothing(tmp_path, capfd, caplog):
    path = write(tmp_path / "a.dcm", RAMP)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    odd = b"\x08\x00\x20\x00DA\x08\x00notadate" + b"\x08\x00\x05\x00CS\x08\x00NOTACODE"
    path.write_bytes(content[:start] + odd + content[start:] + b"trailing")
    with warnings.catch_warnings(record=True) as caught, caplog.at_level("DEBUG"):
        warnings.simplefilter("always")
        load_image(path)
        load_image(SHIPPED / "test_files" / "MR_small_padded.dcm")
        with pytest.raises(ImageDecodeError):
            load_image(SHIPPED / "test_files" / "JPEG-lossy.dcm")
    assert [str(warning.message) for warning in caught] == []
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_threads_that_decode_at_once_leave_the_warning_filters_as_they_were(tmp_path):
    path = write(tmp_path / "a.dcm", np.zeros((64, 64), np.uint16))
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [load_image(path) for _ in range(30)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_mutated_files_give_an_image_or_an_image_decode_error(tmp_path):
    rng = np.random.default_rng(0)
    names = (
        "CT_small.dcm",
        "JPEG2000.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_rle.dcm",
        "examples_palette.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "image_dfl.dcm",
        "liver_1frame.dcm",
    )
    file = tmp_path / "mutant.dcm"
    for name, _ in itertools.product(names, range(25)):
        content = bytearray((SHIPPED / "test_files" / name).read_bytes())
        for position in rng.integers(len(content) if rng.random() < 0.3 else min(2000, len(content)), size=6):
            content[position] = rng.integers(256)
        file.write_bytes(content[: rng.integers(1, len(content))] if rng.random() < 0.2 else content)
        try:
            assert load_image(file).dtype == np.uint8
        except ImageDecodeError as error:
            assert error.path == file


def test_a_grey_or_coloured_frame_comes_with_the_channels_asked_for(tmp_path):
    grey = write(tmp_path / "grey.dcm", RAMP)
    assert [load_image(grey, n).shape[2] for n in (1, 3, 4)] == [1, 3, 4]
    colors = write_colors(tmp_path / "colors.dcm", np.full((2, 2, 3), (10, 20, 30), np.uint8))
    assert load_image(colors, 4)[0, 0].tolist() == [10, 20, 30, 255]
    with pytest.raises(ImageDecodeError, match="expected 2"):
        load_image(colors, 2)
