from __future__ import annotations

import logging
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lt_data import ConfigError, DatasetError, build_index, load_data_config

CLASSES = {0: "cat", 1: "car", 2: "dog"}


@pytest.fixture
def root(make_folder):
    return make_folder("train", cat=2, car=1, dog=1).parent


def index_of(root, content, task="multiclass", **more):
    """Index of a CSV file with `content`, for training and validation."""
    (root / "train.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    files = {"train_csv": root / "train.csv", "val_csv": root / "train.csv"}
    return build_index(load_data_config({**files, "classes": CLASSES, **more}), task)


def rows_of(index) -> list[tuple[str, list[int]]]:
    samples = index.train
    paths = [samples.path(i).relative_to(samples.root).as_posix() for i in range(len(samples))]
    return [(path, samples.labels_of(i).tolist()) for i, path in enumerate(paths)]


def problems_of(root, content, **more) -> dict[str, str]:
    with pytest.raises(DatasetError) as caught:
        index_of(root, content, **more)
    return {problem.where.removeprefix(f"{root}/"): problem.what for problem in caught.value.problems}


ROWS = "train/cat/0.png,cat\ntrain/cat/1.png,cat\ntrain/car/0.png,car\ntrain/dog/0.png,dog\n"
EXPECTED = [("train/cat/0.png", [0]), ("train/cat/1.png", [0]), ("train/car/0.png", [1]), ("train/dog/0.png", [2])]


def test_the_csv_of_the_reference_page_is_understood(root):
    assert rows_of(index_of(root, "image_path,label\n" + ROWS)) == EXPECTED


def test_a_csv_without_header_whose_first_row_is_an_image_and_a_label_is_understood(root):
    content = 'train/cat/0.png,"0"\ntrain/cat/1.png,"0"\ntrain/car/0.png,"1"\ntrain/dog/0.png,"2"\n'
    assert rows_of(index_of(root, content, csv_label_type="id")) == EXPECTED


def test_several_labels_are_separated_by_the_delimiter(root):
    content = 'image_path,label\ntrain/cat/0.png,"dog, cat"\ntrain/car/0.png,car\n'
    index = index_of(root, content, task="multilabel")
    assert rows_of(index) == [("train/cat/0.png", [0, 2]), ("train/car/0.png", [1])]
    content = "image_path,label\ntrain/cat/0.png,dog|cat\ntrain/car/0.png,car\n"
    index = index_of(root, content, task="multilabel", label_delimiter="|")
    assert rows_of(index) == [("train/cat/0.png", [0, 2]), ("train/car/0.png", [1])]


def test_multilabel_images_without_a_label_are_kept_as_negatives(root, caplog):
    content = "image_path,label\ntrain/cat/0.png,\ntrain/car/0.png,car\ntrain/dog/0.png,dog\ntrain/cat/1.png,cat\n"
    with caplog.at_level(logging.INFO):
        index = index_of(root, content, task="multilabel")
    assert rows_of(index)[0] == ("train/cat/0.png", [])
    assert "1 rows without a label, kept as negatives" in caplog.text


def test_multiclass_rows_with_several_labels_are_one_problem_with_its_cure_beside_the_others(root):
    rows = ['train/cat/1.png,"dog,cat"', "train/cat/0.png,", *['train/car/0.png,"cat,car"'] * 11]
    found = problems_of(root, "\n".join(["image_path,label", *rows]))
    assert next(iter(found)) == "train.csv"
    assert found["train.csv"].startswith("12 images have several labels: train.csv:2 (dog, cat), train.csv:4 (cat, ")
    assert "train.csv:12 (cat, car) and 2 more; a multiclass image needs exactly one" in found["train.csv"]
    assert found["train.csv"].endswith('to train on several, set classification_task to "multilabel"')
    assert (
        """where ',' belongs to the names, list them in data.classes, or set data.label_delimiter to another, such as"""
        """ "|"; """ in found["train.csv"]
    )
    assert "empty" in found["train.csv:3"]


def test_a_column_without_a_name_such_as_pandas_writes_is_seen_among_the_others(root):
    (problem,) = problems_of(root, ",file,label\n0,train/cat/0.png,cat\n").values()
    assert "set data.csv_image_column to one of '', file, label" in problem


def test_a_table_in_which_every_row_has_several_labels_says_only_that(root):
    found = problems_of(root, 'image_path,label\ntrain/cat/1.png,"dog,cat"\n')
    assert found["train.csv"].startswith("1 image has several labels: train.csv:2 (dog, cat); ")
    assert len(found) == 1


def test_unknown_labels_and_missing_images_are_all_named_with_file_and_line(root):
    content = 'image_path,label\ntrain/cat/0.png,kat\ntrain/cat/9.png,cat\n"train/cat/1.png",0\nshort\n,cat\n'
    found = problems_of(root, content)
    assert "did you mean 'cat'?" in found["train.csv:2"]
    assert "train/cat/9.png' is not a file" in found["train.csv:3"]
    assert 'set csv_label_type to "id"' in found["train.csv:4"]
    assert "1 columns" in found["train.csv:5"]
    assert "empty" in found["train.csv:6"]


def test_a_label_that_only_looks_like_a_class_is_shown_by_its_codes(root):
    found = problems_of(root, "image_path,label\ntrain/cat/0.png,cafe\u0301\n", classes=["cat", "caf\u00e9"])
    differ = "they differ in Unicode form, blanks or unseen characters only"
    assert found["train.csv:2"].endswith(rf"; there is 'caf\xe9', this is 'cafe\u0301': {differ}")


def test_a_table_that_is_missing_is_told_with_the_nearest_file(root):
    (root / "val.csv").write_text("x")
    (root / "vals.csv").mkdir()
    with pytest.raises(DatasetError, match=r"vals\.cvs is not a file; did you mean `val\.csv`\?"):
        index_of(root, "image_path,label\n" + ROWS, val_csv=root / "vals.cvs")


@pytest.mark.skipif(os.name == "nt", reason="there \\ separates folders")
def test_backslashes_are_named_where_slashes_in_their_place_lead_to_the_file(root):
    content = "image_path,label\ntrain\\cat\\0.png,cat\ntrain\\cat\\9.png,cat\n"
    found = problems_of(root, content)
    assert found["train.csv:2"].endswith("; there is 'train/cat/0.png': write / in place of \\")
    assert "in place of" not in found["train.csv:3"]


def test_a_path_that_begins_above_the_folder_of_the_table_is_answered_with_the_one_that_is_there(root):
    content = f"image_path,label\ndata/{root.name}/train/cat/0.png,cat\nelsewhere/cat/0.png,cat\n"
    found = problems_of(root, content)
    meant = "; there is 'train/cat/0.png': paths are relative to the folder of the table"
    assert found["train.csv:2"].endswith(meant)
    assert "there is" not in found["train.csv:3"]


def test_lines_are_counted_as_an_editor_counts_them(root):
    content = 'image_path,note,label\ntrain/cat/0.png,"two\nlines",cat\n\ntrain/cat/1.png,x,kat\n'
    assert set(problems_of(root, content)) == {"train.csv:5"}


def test_other_columns_may_be_named(root):
    content = "id,file,kind\n1,train/cat/0.png,cat\n2,train/car/0.png,car\n3,train/dog/0.png,dog\n"
    index = index_of(root, content, csv_image_column="file", csv_label_column="kind")
    assert [labels for _, labels in rows_of(index)] == [[0], [1], [2]]


def test_missing_and_doubled_columns_are_named_with_what_there_is(root):
    found = problems_of(root, "image_paht,class,extra\n" + ROWS)
    assert "image_paht" in found["train.csv:1"]
    found = problems_of(root, "image_path,label,label\n" + ROWS)
    assert "2 columns 'label'" in found["train.csv:1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_with_and_without_a_byte_order_mark_and_all_line_ends_are_understood(root, encoding, newline):
    (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / "käse 猫.png")
    content = "image_path,label\n" + ROWS.replace("cat/0.png", "cat/käse 猫.png")
    (root / "val.csv").write_text("x")
    data = content.replace("\n", newline).encode(encoding)
    (root / "train.csv").write_bytes(data)
    config = load_data_config({"train_csv": root / "train.csv", "val": root / "train", "classes": CLASSES})
    assert rows_of(build_index(config))[0] == ("train/cat/käse 猫.png", [0])


def test_another_encoding_is_an_error_that_says_how_to_set_it(root):
    content = "image_path,label\n" + ROWS + "train/cat/ä.png,cat\n"
    assert "data.encoding" in problems_of(root, content.encode("cp1252"))["train.csv"]
    found = problems_of(root, content.encode("cp1252"), encoding="cp1252")
    assert "ä.png' is not a file" in found["train.csv:6"]
    with pytest.raises(ConfigError, match="klingon"):
        index_of(root, content, encoding="klingon")


def test_cp1252_is_read_when_it_is_asked_for(root):
    (root / "train/cat/0.png").rename(root / "train/cat/ä.png")
    content = "image_path,label\n" + ROWS.replace("cat/0.png", "cat/ä.png")
    assert rows_of(index_of(root, content.encode("cp1252"), encoding="cp1252"))[0] == ("train/cat/ä.png", [0])


def test_a_byte_order_mark_wins_over_the_encoding_that_is_set(root):
    content = "image_path,label\n" + ROWS
    assert rows_of(index_of(root, content.encode("utf-8-sig"), encoding="cp1252")) == EXPECTED
    assert rows_of(index_of(root, content.encode("utf-8-sig"), encoding="utf-8")) == EXPECTED


def test_utf_16_without_a_byte_order_mark_is_an_error_that_says_how_to_set_it(root):
    found = problems_of(root, ("image_path,label\n" + ROWS).encode("utf-16-le"))
    assert "encoding" in found["train.csv:1"] or "NUL" in found["train.csv:1"]
    content = ("image_path,label\n" + ROWS).encode("utf-16-le")
    assert rows_of(index_of(root, content, encoding="utf-16-le")) == EXPECTED


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_read_when_set_and_named_when_not(root, delimiter):
    content = ("image_path,label\n" + ROWS).replace(",", delimiter)
    assert rows_of(index_of(root, content, csv_delimiter=delimiter)) == EXPECTED
    assert f"set data.csv_delimiter to {delimiter!r}" in problems_of(root, content)["train.csv:1"]


def test_a_comma_is_named_when_another_delimiter_is_set(root):
    assert (
        "set data.csv_delimiter to ','"
        in problems_of(root, "image_path,label\n" + ROWS, csv_delimiter=";")["train.csv:1"]
    )


def test_the_delimiter_that_is_set_is_not_suggested(root):
    assert "csv_delimiter" not in problems_of(root, '"image_path,label"\n' + ROWS)["train.csv:1"]


def test_quotes_and_line_breaks_in_fields_are_understood(root):
    path = root / "train" / "cat" / 'a "b",\nc.png'
    try:
        (root / "train/cat/0.png").rename(path)
    except OSError:
        pytest.skip("this file system has no such names")
    content = 'image_path,label\n"train/cat/a ""b"",\nc.png",cat\n' + ROWS.partition("\n")[2]
    assert index_of(root, content).train.path(0) == path


def test_names_with_blanks_around_them_are_found_as_they_are_and_blanks_in_the_file_do_not_matter(root):
    (root / "train/cat/0.png").rename(root / " 0.png")
    rows = [" train/cat/1.png ,cat", " 0.png, cat", "train/car/0.png,car ", "train/dog/0.png,dog"]
    index = index_of(root, "\n".join(["image_path,label", *rows]))
    assert rows_of(index) == [("train/cat/1.png", [0]), (" 0.png", [0]), *EXPECTED[2:]]


def test_nul_characters_and_endless_fields_are_errors_with_their_line(root):
    found = problems_of(root, "image_path,label\n" + ROWS + "train/cat/\0.png,cat\n")
    assert "NUL" in found["train.csv:6"]
    found = problems_of(root, "image_path,label\n" + ROWS + f"{'x' * 140_000},cat\n")
    assert "field larger than field limit" in found["train.csv:6"]


def test_long_names_and_labels_are_errors_that_do_not_fill_the_screen(root):
    found = problems_of(root, f"image_path,label\n{'x' * 5000}.png,cat\ntrain/cat/0.png,{'y' * 100_000}\n")
    assert "name too long" in found["train.csv:2"]
    assert len(found["train.csv:3"]) < 500


def test_many_different_unknown_labels_are_reported_quickly_and_counted(root):
    rows = "".join(f"train/cat/0.png,unknown_label_{i:06d}\n" for i in range(20_000))
    found = problems_of(root, "image_path,label\n" + rows)
    assert len(found) == 1001
    assert found["train.csv"] == "has 19000 more problems, which are not listed"


def test_rows_with_the_same_problem_are_one_that_counts_them(root):
    rows = ["train/cat/0.png,kat", "train/cat/1.png,", "train/cat/0.png,", *["train/cat/0.png,kat"] * 300, "short"]
    assert problems_of(root, "\n".join(["image_path,label", *rows])) == {
        "train.csv:2": "unknown class 'kat'; did you mean 'cat'? (301 such rows: train.csv:2, train.csv:5, "
        "train.csv:6, train.csv:7, train.csv:8 and 296 more)",
        "train.csv:3": "the label is empty; a multiclass image needs exactly one "
        "(2 such rows: train.csv:3, train.csv:4)",
        "train.csv:305": "has 1 columns, 2 are needed",
    }


def test_rows_with_a_problem_that_was_described_are_counted_there_beyond_the_limit_too(root):
    rows = "".join(f"train/cat/0.png,unknown_label_{i % 1500}\n" for i in range(3000))
    found = problems_of(root, "image_path,label\n" + rows)
    assert found["train.csv:2"].endswith("(2 such rows: train.csv:2, train.csv:1502)")
    assert found["train.csv"] == "has 1000 more problems, which are not listed"


def test_ids_that_pandas_wrote_as_floats_are_told_so(root):
    rows = "".join(f"train/cat/{i}.png,{i}.0\n" for i in range(2))
    found = problems_of(root, "image_path,label\n" + rows, csv_label_type="id")
    hint = "IDs are whole numbers: write 1, in pandas by .astype('Int64')"
    assert found["train.csv:3"] == f"unknown class ID '1.0'; {hint}"
    found = problems_of(root, "image_path,label\ntrain/cat/0.png,7.0\n", csv_label_type="id")
    assert found["train.csv:2"] == "unknown class ID '7.0'; there are 0, 1, 2"


def test_an_error_counts_the_problems_that_are_not_described(root):
    rows = "".join(f"train/cat/no{i}.png,cat\n" for i in range(3000))
    with pytest.raises(DatasetError, match=r"^6000 problems in the data set:\n(.*\n){50}  and 5950 more$"):
        index_of(root, "image_path,label\n" + rows)


def test_labels_are_class_names_even_where_these_hold_the_delimiter(root):
    content = "image_path,label\n" + ROWS.replace(",cat", ',"cat, tame"')
    index = index_of(root, content, classes={0: "cat, tame", 1: "car", 2: "dog"})
    assert rows_of(index) == EXPECTED


def test_a_label_that_is_a_name_with_the_delimiter_may_have_blanks_around_it(root):
    content = "image_path,label\n" + ROWS.replace(",cat", ',"cat, tame "')
    assert rows_of(index_of(root, content, classes=["cat, tame", "car", "dog"])) == EXPECTED


def test_the_log_quotes_class_names_with_a_comma_and_no_others(root, caplog):
    (root / "val.csv").write_text("image_path,label\ntrain/dog/0.png,dog\n")
    content = "image_path,label\n" + ROWS.replace(",cat", ',"cat, tame"')
    with caplog.at_level(logging.INFO):
        index_of(root, content, classes=None, label_delimiter="|", val_csv=root / "val.csv")
    assert "train.csv, 0: car, 1: 'cat, tame', 2: dog" in caplog.text
    assert "val: no image of car, 'cat, tame';" in caplog.text


@pytest.mark.parametrize("name", ["notes.txt", "image", "image.png.gz"])
def test_files_of_other_kinds_are_errors(root, name):
    (root / "train" / "cat" / name).write_bytes(b"x" * 200)
    found = problems_of(root, f"image_path,label\n{ROWS}train/cat/{name},cat\n")
    assert "is not one of bmp, dcm, jpeg, jpg, pgm, png, ppm, tif, tiff, webp" in found["train.csv:6"]


@pytest.mark.skipif(os.name == "nt", reason="links and pipes need rights that Windows users rarely have")
def test_links_are_followed_and_dangling_ones_loops_pipes_and_devices_are_errors_and_never_opened(root):
    folder = root / "train" / "cat"
    (folder / "good.png").symlink_to(folder / "0.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    names = ["good.png", "gone.png", "circle.png", "zero.png", "pipe.png", "pipe", ""]
    rows = "".join(f"train/cat/{name},cat\n" for name in names)
    found = problems_of(root, "image_path,label\n" + rows)
    assert set(found) == {f"train.csv:{line}" for line in range(3, 9)}
    assert "is a folder, a pipe or a device" in found["train.csv:6"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_table_that_is_a_pipe_is_not_opened(root):
    os.mkfifo(root / "pipe.csv")
    with pytest.raises(DatasetError, match="is not a file"):
        build_index(load_data_config({"train_csv": root / "pipe.csv", "val": root / "train"}))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything, Windows has no modes")
def test_tables_and_folders_that_may_not_be_read_are_named(root):
    (root / "train" / "cat").chmod(0)
    try:
        assert "Permission denied" in problems_of(root, "image_path,label\n" + ROWS)["train.csv:2"]
    finally:
        (root / "train" / "cat").chmod(0o755)
    (root / "train.csv").chmod(0)
    config = load_data_config({"train_csv": root / "train.csv", "val": root / "train", "classes": CLASSES})
    with pytest.raises(DatasetError, match="Permission denied"):
        build_index(config)


def test_ids_of_thousands_of_digits_are_labels_like_any_other(root):
    index = index_of(root, "image_path,label\n" + ROWS.replace(",cat", f",{'9' * 5000}"), classes=None)
    assert index.classes.names[:1] == ("9" * 5000,)


def test_a_test_split_is_read_and_may_lack_classes(root):
    (root / "test.csv").write_text("image_path,label\ntrain/cat/0.png,cat\n")
    index = index_of(root, "image_path,label\n" + ROWS, test_csv=root / "test.csv")
    assert index.test is not None
    assert (len(index.test), index.test.labels.tolist()) == (1, [0])
    assert index_of(root, "image_path,label\n" + ROWS).test is None
    (root / "test.csv").write_text("image_path,label\nno.png,cat\n")
    assert set(problems_of(root, "image_path,label\n" + ROWS, test_csv=root / "test.csv")) == {"test.csv:2"}


def test_ignored_labels_leave_their_rows_out_and_are_counted(root, caplog):
    with caplog.at_level(logging.INFO):
        index = index_of(root, "image_path,label\n" + ROWS, ignore_classes=[0])
    assert rows_of(index) == [("train/car/0.png", [0]), ("train/dog/0.png", [1])]
    assert "2 rows left out" in caplog.text


def test_absolute_paths_are_allowed_and_counted_but_relative_ones_stay_inside(root, caplog):
    content = "image_path,label\n" + ROWS.replace("train/cat/0.png", str(root / "train/cat/0.png"))
    with caplog.at_level(logging.INFO):
        index = index_of(root, content)
    assert index.train.path(0) == root / "train/cat/0.png"
    assert "1 rows with absolute paths" in caplog.text
    outside = root.parent / "outside.png"
    outside.write_bytes((root / "train/cat/0.png").read_bytes())
    assert "leaves the folder" in problems_of(root, "image_path,label\n../outside.png,cat\n")["train.csv:2"]
    assert "leaves the folder" in problems_of(root, "image_path,label\ntrain/../../outside.png,cat\n")["train.csv:2"]


def test_classes_left_out_come_from_the_labels_of_the_training_file(root):
    index = index_of(root, "image_path,label\n" + ROWS, classes=None)
    assert index.classes.as_dict() == {0: "car", 1: "cat", 2: "dog"}
    with pytest.raises(ConfigError, match="IDs have no names"):
        index_of(root, "image_path,label\n" + ROWS, classes=None, csv_label_type="id")


def test_a_class_without_a_training_row_is_an_error(root):
    assert "'dog'" in problems_of(root, "image_path,label\ntrain/cat/0.png,cat\ntrain/car/0.png,car\n")["train.csv"]


def test_multilabel_needs_csv_files(make_folder):
    train = make_folder("train", cat=1, dog=1)
    with pytest.raises(ConfigError, match="train_csv"):
        build_index(load_data_config({"train": train, "val": train}), "multilabel")


@pytest.mark.parametrize("content", ["", "\n\n", "image_path,label\n", 'image_path,label\n"train/cat/0.png,cat\n'])
def test_files_without_rows_or_with_open_quotes_are_errors(root, content):
    assert problems_of(root, content)


def test_a_missing_file_is_named(root):
    config = load_data_config({"train_csv": root / "no.csv", "val": root / "train", "classes": CLASSES})
    with pytest.raises(DatasetError, match=r"data\.train_csv.*no\.csv"):
        build_index(config)


cells = st.text(alphabet='ab,"\n\r\0;\tcat/.png é猫\ud800\udcff', max_size=12)
tables = st.lists(st.lists(cells, max_size=3), max_size=5).map(
    # By hand, since csv.writer refuses NUL before Python 3.11.
    lambda rows: "\n".join([",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows])
)
contents = st.one_of(
    st.binary(max_size=80),
    st.tuples(
        st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"image_path,label\n"]), st.binary(max_size=60)
    ).map(b"".join),
    tables.map(lambda text: f"image_path,label\n{text}".encode("utf-8", "surrogatepass")),
    tables.map(lambda text: f"image_path,label\n{text}".encode("utf-16", "surrogatepass")),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(content=contents, task=st.sampled_from(["multiclass", "multilabel"]), given_classes=st.booleans())
def test_any_bytes_give_an_index_or_a_dataset_error(root, content, task, given_classes):
    try:
        assert len(index_of(root, content, task, classes=CLASSES if given_classes else None).train) > 0
    except DatasetError as error:
        assert error.problems
        assert all(problem.where and problem.what for problem in error.problems)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_several_labels_without_quotes_are_an_error_and_never_lost(root, task):
    content = "image_path,label\n" + ROWS + "train/dog/0.png,dog,cat\n"
    found = problems_of(root, content) if task == "multiclass" else None
    if found is None:
        with pytest.raises(DatasetError) as caught:
            index_of(root, content, task=task)
        found = {problem.where.removeprefix(f"{root}/"): problem.what for problem in caught.value.problems}
    assert set(found) == {"train.csv:6"}
    assert "has 3 columns, the header 2" in found["train.csv:6"]
    assert "quotes" in found["train.csv:6"]


def test_empty_cells_after_the_last_column_do_no_harm(root):
    assert rows_of(index_of(root, "image_path,label\n" + ROWS.replace("\n", ",,\n"))) == EXPECTED
