from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lt_data import (
    Classes,
    DatasetError,
    Decoding,
    Frame,
    Preprocessing,
    TaskSpec,
    build_index,
    check,
    index_for_model,
    load_data_config,
    write_split,
)

pydicom = pytest.importorskip("pydicom", reason="lt-data[dicom] is not installed")

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
MPEG_4 = "1.2.840.10008.1.2.4.102"


def write(path, frames=1, syntax=EXPLICIT_LITTLE, seed=0):
    """A grey DICOM file of 40 x 40 pixels, or a file that says it has another transfer syntax."""
    values = np.random.default_rng([seed, *map(ord, f"{path.parent.name}{path.name}")]).integers(
        0, 256, (frames, 40, 40), dtype=np.uint8
    )
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT_LITTLE
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"1.2.{seed + 1}"
    dataset.Rows = dataset.Columns = 40
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    if syntax != EXPLICIT_LITTLE:
        content = path.read_bytes()
        padded = EXPLICIT_LITTLE.encode() + b"\0"
        new = syntax.encode() + b"\0" * (len(syntax) % 2)
        at = content.index(padded) - 2
        path.write_bytes(content[:at] + len(new).to_bytes(2, "little") + new + content[at + 2 + len(padded) :])


@pytest.fixture
def root(tmp_path):
    for name in ("cat", "dog"):
        for i in range(2):
            write(tmp_path / "train" / name / f"{i}.dcm", frames=3)
    return tmp_path


def index_of(root, **more):
    return build_index(load_data_config({"train": root / "train", "val": root / "train", **more}))


def problems_of(root, **more) -> dict[str, str]:
    with pytest.raises(DatasetError) as caught:
        index_of(root, **more)
    return {problem.where.removeprefix(f"{root}/"): problem.what for problem in caught.value.problems}


def test_dicom_files_are_found_by_their_ending_or_by_content(root):
    write(root / "train/cat/IM000001")
    write(root / "train/cat/1.2.840.113619.2")
    (root / "train/cat/README").write_text("not an image")
    (root / "train/cat/1.5").write_text("not an image")
    found = [index_of(root).train.path(i).name for i in range(6)]
    assert found == ["0.dcm", "1.2.840.113619.2", "1.dcm", "IM000001", "0.dcm", "1.dcm"]


def test_rows_may_name_dicom_files_without_an_ending_but_no_other_files(root):
    write(root / "train/cat/IM000001")
    (root / "train/cat/README").write_text("not an image")
    (root / "train/cat/a.txt").write_text("not an image")
    rows = ["train/cat/IM000001,cat", "train/dog/0.dcm,dog", "train/cat/README,cat", "train/cat/a.txt,cat"]
    (root / "t.csv").write_text("\n".join(["image_path,label", *rows[:2]]))
    files = {"train_csv": root / "t.csv", "val_csv": root / "t.csv"}
    index = build_index(load_data_config(files))
    assert index.train.path(0) == root / "train/cat/IM000001"
    (root / "t.csv").write_text("\n".join(["image_path,label", *rows]))
    with pytest.raises(DatasetError) as caught:
        build_index(load_data_config({**files, "classes": ["cat", "dog"]}))
    whats = {problem.where.removeprefix(f"{root}/"): problem.what for problem in caught.value.problems}
    assert set(whats) == {"t.csv:4", "t.csv:5"}
    assert "is not one of bmp, dcm, jpeg, jpg" in whats["t.csv:5"]


def test_all_frames_become_samples_of_their_own(root):
    Image.new("RGB", (40, 40)).save(root / "train/dog/x.png")
    index = index_of(root, dicom_frame="all")
    assert len(index.train) == 4 * 3 + 1
    assert index.train.image(4) == Frame(root / "train/cat/1.dcm", 1)
    assert index.train.image(12) == root / "train/dog/x.png"
    assert index.train.labels.tolist() == [0] * 6 + [1] * 7
    assert len(index_of(root).train) == 5
    assert index_of(root).train.image(0) == root / "train/cat/0.dcm"


def test_frames_of_one_file_are_never_split(root):
    for i in range(2, 8):
        write(root / "train" / "cat" / f"{i}.dcm", frames=i)
    index = index_of(root, val=0.4, dicom_frame="all")
    train, val = ({samples.path(i) for i in range(len(samples))} for samples in (index.train, index.val))
    assert not train & val
    assert len(index.train) + len(index.val) == 12 + sum(range(2, 8))
    assert len(val) > 1


def test_rows_of_one_file_are_never_split(root):
    rows = [f"train/{name}/{i}.dcm,{name},{frame}" for name in ("cat", "dog") for frame in range(3) for i in range(2)]
    (root / "t.csv").write_text("\n".join(["image_path,label,dicom_frame", *rows]))
    index = build_index(load_data_config({"train_csv": root / "t.csv", "val": 0.5}))
    train, val = ({samples.path(i) for i in range(len(samples))} for samples in (index.train, index.val))
    assert (len(train & val), len(train), len(val)) == (0, 2, 2)


def test_a_column_gives_the_frame_of_a_row_and_empty_follows_the_config(root):
    rows = ["train/cat/0.dcm,cat,2", "train/cat/0.dcm,cat,0", "train/dog/0.dcm,dog,"]
    (root / "t.csv").write_text("\n".join(["image_path,label,dicom_frame", *rows]))
    files = {"train_csv": root / "t.csv", "val_csv": root / "t.csv"}
    samples = build_index(load_data_config(files)).train
    cat, dog = root / "train/cat/0.dcm", root / "train/dog/0.dcm"
    assert [samples.image(i) for i in range(3)] == [Frame(cat, 2), Frame(cat, 0), dog]
    samples = build_index(load_data_config({**files, "dicom_frame": "all"})).train
    assert [samples.image(i) for i in range(2, 5)] == [Frame(dog, 0), Frame(dog, 1), Frame(dog, 2)]


@pytest.mark.parametrize("cell", ["-1", "1.5", "x", "99999999999999999999"])
def test_a_cell_that_is_no_frame_and_a_frame_of_another_file_are_errors(root, cell):
    Image.new("RGB", (40, 40)).save(root / "x.png")
    (root / "t.csv").write_text(f"image_path,label,dicom_frame\ntrain/cat/0.dcm,cat,{cell}\nx.png,dog,1\n")
    with pytest.raises(DatasetError) as caught:
        build_index(load_data_config({"train_csv": root / "t.csv", "val": root / "train", "classes": ["cat", "dog"]}))
    whats = [problem.what for problem in caught.value.problems]
    assert f"holds '{cell}', expected the number of a frame" in whats[0]
    assert "only DICOM files have frames" in whats[1]


def test_a_split_with_frames_reads_back_to_the_same_frames(root, tmp_path):
    Image.new("RGB", (40, 40)).save(root / "train/dog/x.png")
    index = index_of(root, val=0.5, dicom_frame="all")
    write_split(index, tmp_path / "split")
    files = {"train_csv": tmp_path / "split/train.csv", "val_csv": tmp_path / "split/val.csv"}
    again = build_index(load_data_config({**files, "classes": index.classes.as_dict()}))
    for before, after in ((index.train, again.train), (index.val, again.val)):
        assert [after.image(i) for i in range(len(after))] == [before.image(i) for i in range(len(before))]


def test_files_that_cannot_be_decoded_here_are_one_problem_a_reason(root):
    for i in range(5):
        write(root / "train" / "cat" / f"video{i}.dcm", syntax=MPEG_4)
    found = problems_of(root)
    assert list(found) == ["train/cat/video0.dcm"]
    assert MPEG_4 in found["train/cat/video0.dcm"]
    assert found["train/cat/video0.dcm"].endswith("(and 4 more files below the same folder)")


def test_damaged_headers_are_problems_where_frames_are_counted(root):
    content = (root / "train/cat/0.dcm").read_bytes()
    (root / "train/cat/0.dcm").write_bytes(content[:200])
    assert set(problems_of(root, dicom_frame="all")) == {"train/cat/0.dcm"}


def test_the_check_reads_every_frame_and_goes_on_where_files_cannot_be_decoded(root):
    write(root / "train" / "cat" / "video.dcm", syntax=MPEG_4)
    report = check({"train": root / "train", "val": root / "train"})
    assert [(part.samples, len(part.problems), part.unreadable) for part in report.splits] == [(4, 1, ())] * 2
    report = check({"train": root / "train", "val": 0.5, "dicom_frame": "all"})
    assert sum(part.samples for part in report.splits) == 12
    assert [len(part.problems) for part in report.splits] == [1, 0]
    assert not any(part.unreadable or part.duplicates for part in report.splits)
    assert all(part.sizes.different == 1 for part in report.splits)


def test_without_pydicom_the_scan_says_what_to_install(root, monkeypatch):
    from lt_data.images import transfer_syntax

    transfer_syntax.missing.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    try:
        found = problems_of(root)
    finally:
        transfer_syntax.missing.cache_clear()
    assert list(found) == ["train/cat/0.dcm"]
    assert 'pip install "lt-data[dicom]"' in found["train/cat/0.dcm"]


@pytest.mark.parametrize(("dicom_frame", "count"), [("all", 12), ("middle", 4)])
def test_which_frames_are_samples_is_for_the_model_to_say(root, dicom_frame, count):
    own = Preprocessing(image_size=(8, 8), decoding=Decoding(dicom_frame=dicom_frame))
    task = TaskSpec(task="multiclass", classes=Classes((0, 1), ("cat", "dog")), preprocessing=own)
    for data in (root / "train", {"val": root / "train", "dicom_frame": 1}):
        assert len(index_for_model(data, task).samples) == count
