from __future__ import annotations

import logging
import os

import pytest

from lt_data import ConfigError, DatasetError, build_index, load_data_config, scan_images


def index_of(train, val, **more):
    return build_index(load_data_config({"train": train, "val": val, **more}))


def problems_of(train, val, **more) -> dict[str, str]:
    with pytest.raises(DatasetError) as caught:
        index_of(train, val, **more)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_every_image_gets_the_class_of_its_folder(make_folder):
    train, val = make_folder("train", cat=3, dog=2), make_folder("val", cat=1, dog=1)
    index = index_of(train, val, classes={5: "dog", 2: "cat"})
    assert index.classes.as_dict() == {5: "dog", 2: "cat"}
    found = {index.train.path(i).relative_to(train).as_posix(): int(index.train.labels[i]) for i in range(5)}
    assert found == {"dog/0.png": 0, "dog/1.png": 0, "cat/0.png": 1, "cat/1.png": 1, "cat/2.png": 1}
    assert len(index.val) == 2


def test_classes_left_out_come_from_the_training_folder_in_natural_order(make_folder):
    train, val = make_folder("train", c10=1, c2=1, c1=1), make_folder("val", c2=1)
    assert index_of(train, val).classes.as_dict() == {0: "c1", 1: "c2", 2: "c10"}


def test_the_natural_order_of_the_documents_is_that_of_the_classes(make_folder):
    names = dict.fromkeys(["c1", "c10", "c2", "10", "9", "ant", "Zebra"], 1)
    train, val = make_folder("train", **names), make_folder("val", c2=1)
    assert index_of(train, val).classes.names == ("9", "10", "Zebra", "ant", "c1", "c2", "c10")


def test_ignored_classes_take_no_part_and_the_others_keep_their_ids(make_folder):
    train, val = make_folder("train", cat=1, car=1, dog=1), make_folder("val", cat=1, car=1, dog=1)
    index = index_of(train, val, classes={0: "cat", 1: "car", 2: "dog"}, ignore_classes=[0])
    assert index.classes.as_dict() == {1: "car", 2: "dog"}
    assert [index.train.path(i).parent.name for i in range(len(index.train))] == ["car", "dog"]


def test_unknown_ignored_names_are_refused_when_classes_come_from_the_folder(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    with pytest.raises(ConfigError, match=r"'bird' is not a class of .*train; there are 0: cat, 1: dog$"):
        index_of(train, val, ignore_classes=["bird"])
    with pytest.raises(ConfigError, match=r"'Dog' is not a class of .*train; did you mean 'dog'\?$"):
        index_of(train, val, ignore_classes=["Dog"])


def test_a_folder_that_is_missing_is_told_with_the_nearest_that_is_there_and_where_it_was_looked_for(
    make_folder, monkeypatch
):
    root = make_folder("train", cat=1, dog=1).parent
    make_folder("validation", cat=1)
    (root / "validatoin.txt").write_text("x")
    monkeypatch.chdir(root)
    found = problems_of("trian", root / "validatoin", test="train/cat/0.png", classes=["cat", "dog"])
    assert found["data.train"] == f"trian is not a folder (it is looked for at {root / 'trian'}); did you mean `train`?"
    assert found["data.val"] == f"{root / 'validatoin'} is not a folder; did you mean `validation`?"
    assert found["data.test"].endswith("/train/cat/0.png)")
    assert problems_of("train", root / "no" / "such")["data.val"].endswith("/no/such is not a folder")


def test_missing_folders_are_named(tmp_path):
    found = problems_of(tmp_path / "a", tmp_path / "b", classes=["x", "y"])
    assert set(found) == {"data.train", "data.val"}
    assert str(tmp_path / "a") in found["data.train"]


def test_a_folder_that_is_no_class_and_a_class_without_folder_are_errors_with_the_nearest_name(make_folder):
    train, val = make_folder("train", cat=1, dogs=1), make_folder("val", cat=1, bird=1)
    found = problems_of(train, val, classes=["cat", "dog"])
    assert "did you mean `dog`?" in found[str(train / "dogs")]
    assert "there is `dogs`" in found[str(train / "dog")]
    assert "not in `classes`" in found[str(val / "bird")]


@pytest.mark.parametrize(
    ("one", "other"),
    [("caf\u00e9", "cafe\u0301"), ("hot dog", "hot\u00a0dog"), ("dog", "d\u200bog"), ("dog", "dog ")],
)
def test_folders_and_classes_that_look_the_same_are_shown_by_their_codes(make_folder, one, other):
    train, val = make_folder("train", cat=1, **{other: 1}), make_folder("val", cat=1)
    found = problems_of(train, val, classes=["cat", one])
    differ = "they differ in Unicode form, blanks or unseen characters only"
    assert f"not in `classes` (there is {one!a}, this is {other!a}: {differ});" in found[str(train / other)]
    assert found[str(train / one)].endswith(f"(there is {other!a}, this is {one!a}: {differ})")
    assert "did you mean" not in str(found)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "Valid"), ("TRAIN", "validation", "cat")])
def test_a_folder_of_splits_as_train_is_told_first_with_the_folder_that_is_meant(make_folder, names):
    root = make_folder("shapes", **dict.fromkeys(names, 1))
    for more in ({}, {"classes": ["circle", "square"]}):
        found = problems_of(root, root / "missing", **more)
        assert next(iter(found)) == "data.train"
        assert f"its folders look like splits; did you mean data.train={root / names[0]}?" in found["data.train"]
        assert "`classes`" in found["data.train"]
    assert "did you mean" not in problems_of(make_folder("other", val=1, test=1), root)["data.train"]


def test_a_folder_of_splits_as_train_hides_what_only_follows_from_it_and_nothing_else(make_folder):
    root = make_folder("shapes", train=1, val=0)
    val = make_folder("shapes/val", circle=1, star=1)
    assert set(problems_of(root, val)) == {"data.train"}
    assert set(problems_of(root, val, test=root / "missing")) == {"data.train", "data.test"}
    assert set(problems_of(root, 0.5, ignore_classes=["star"])) == {"data.train"}
    found = problems_of(root, val, classes=["circle", "square"])
    assert set(found) == {"data.train", str(val / "star")}
    assert "not in `classes`" in found[str(val / "star")]


def test_classes_may_be_called_like_splits_where_they_are_given_and_one_of_them_anywhere(make_folder):
    train, val = make_folder("a", train=1, test=1), make_folder("b", train=1)
    assert index_of(train, val, classes=["train", "test"]).classes.names == ("train", "test")
    assert index_of(make_folder("c", train=1, bus=1), val).classes.names == ("bus", "train")


def test_a_folder_of_validation_that_is_no_class_is_not_to_be_added_to_classes_that_were_not_given(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1, dogs=1)
    what = problems_of(train, val)[str(val / "dogs")]
    assert what.startswith("the training data have no such class (did you mean `dog`?); ")
    assert "add it" not in what
    what = problems_of(train, val, classes=["cat", "dog"])[str(val / "dogs")]
    assert "add it there, or to `ignore_classes` too" in what


def test_validation_may_lack_a_class_and_the_log_names_it(make_folder, caplog):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    with caplog.at_level(logging.INFO):
        index_of(train, val)
    assert "val: no image of dog" in caplog.text


def test_a_training_class_without_an_image_is_an_error(make_folder):
    train, val = make_folder("train", cat=1, dog=0), make_folder("val", cat=1)
    assert set(problems_of(train, val)) == {str(train / "dog")}


def test_folders_without_any_image_are_an_error(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=0, dog=0)
    (val / "cat" / "notes.txt").write_text("x")
    assert problems_of(train, val) == {str(val): "no image found in the class folders"}


def test_files_of_other_kinds_are_counted_in_the_log_not_dropped_in_silence(make_folder, caplog):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    (train / "cat" / "Thumbs.db").write_text("x")
    (train / "cat" / ".DS_Store").write_text("x")
    with caplog.at_level(logging.INFO):
        assert len(index_of(train, val).train) == 2
    assert "1 x .db" in caplog.text
    assert "whose names begin with a dot: 1 (cat/.DS_Store)" in caplog.text


def test_images_outside_the_class_folders_are_an_error(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    (train / "stray.JPG").write_bytes(b"")
    assert "images outside the class folders: stray.JPG" in problems_of(train, val)[str(train)]


def test_images_at_any_depth_and_with_any_name_are_found(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    deep = train / "cat" / "a b" / "ümläut 猫"
    deep.mkdir(parents=True)
    (train / "cat" / "0.png").rename(deep / "naïve 画像.PNG")
    index = index_of(train, val)
    assert index.train.path(0) == deep / "naïve 画像.PNG"
    assert index.train.path(0).is_file()


def test_names_that_are_not_unicode_are_found(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    name = os.fsencode(train / "cat") + b"/\xff\xfe.png"
    try:
        (train / "cat" / "0.png").rename(os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert index_of(train, val).train.path(0).is_file()


@pytest.mark.skipif(os.name == "nt", reason="links and pipes need rights that Windows users rarely have")
def test_link_loops_end_and_links_to_nowhere_and_pipes_are_errors(make_folder):
    train, val = make_folder("train", cat=2, dog=1), make_folder("val", cat=1)
    (train / "cat" / "loop").symlink_to(train / "cat")
    assert len(index_of(train, val).train) == 3
    (train / "cat" / "gone.png").symlink_to(train / "nowhere.png")
    os.mkfifo(train / "dog" / "pipe.png")
    assert set(problems_of(train, val)) == {str(train / "cat" / "gone.png"), str(train / "dog" / "pipe.png")}


@pytest.mark.skipif(os.name == "nt", reason="links and pipes need rights that Windows users rarely have")
def test_links_in_a_circle_are_problems_of_their_own_and_hide_nothing(make_folder):
    train, val = make_folder("train", cat=3, dog=1), make_folder("val", cat=1)
    (train / "cat" / "a_circle").symlink_to("a_circle")
    (train / "circle").symlink_to("circle")
    assert len(index_of(train, val).train) == 4
    (train / "cat" / "circle.png").symlink_to("circle.png")
    (train / "cat" / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(train / "cat" / "pipe")
    assert set(problems_of(train, val)) == {str(train / "cat" / "circle.png"), str(train / "cat" / "zero.png")}


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows users rarely have")
def test_a_folder_that_is_reached_twice_counts_once_under_its_first_name(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    for name in ("b", "f"):
        (train / "cat" / name).mkdir()
        (train / "cat" / "0.png").rename(train / "cat" / name / "0.png")
        (train / "cat" / f"{chr(ord(name) - 1)}_link").symlink_to(train / "cat" / name)
        (train / "cat" / f"{chr(ord(name) + 1)}_link").symlink_to(train / "cat" / name)
        (train / "cat" / "0.png").write_bytes(b"")
    (train / "cat" / "0.png").unlink()
    index = index_of(train, val)
    found = [index.train.path(i).relative_to(train).as_posix() for i in range(len(index.train))]
    assert found == ["cat/a_link/0.png", "cat/e_link/0.png", "dog/0.png"]


def test_hidden_folders_are_passed_over_and_counted(make_folder, caplog):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    (train / "cat" / ".cache").mkdir()
    (train / "cat" / "0.png").rename(train / "cat" / ".cache" / "0.png")
    assert set(problems_of(train, val)) == {str(train / "cat")}
    (train / ".git").mkdir()
    assert set(problems_of(train, val)) == {str(train / "cat")}


def test_of_many_hidden_files_the_first_by_name_and_the_number_are_told(make_folder):
    train = make_folder("train", cat=2)
    for i in (4, 2, 0, 3, 1):
        (train / "cat" / f"._{i}.png").write_bytes(b"")
    notes = scan_images(train).notes
    assert [note for note in notes if "hidden" in note] == [
        "passed over hidden files or folders, whose names begin with a dot: 5 "
        "(cat/._0.png, cat/._1.png, cat/._2.png and 2 more)"
    ]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything, Windows has no modes")
def test_folders_that_may_not_be_read_are_named(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    (train / "cat").chmod(0)
    try:
        assert "Permission denied" in problems_of(train, val)[str(train / "cat")]
    finally:
        (train / "cat").chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows users rarely have")
def test_a_class_folder_is_blamed_once(make_folder):
    train, val = make_folder("train", cat=1, dog=0), make_folder("val", cat=1)
    (train / "dog" / "gone.png").symlink_to("nowhere.png")
    assert set(problems_of(train, val)) == {str(train / "dog" / "gone.png")}


def test_class_folders_with_numbers_of_any_length_are_ordered_by_value(make_folder):
    huge = "9" * 200
    train, val = make_folder("train", **{huge: 1, "10": 1, "9": 1, "009": 1, "x٣": 1}), make_folder("val", **{"9": 1})
    assert index_of(train, val).classes.names == ("009", "9", "10", huge, "x٣")


def test_a_test_split_is_read_and_its_problems_reported(make_folder):
    train, val, test = (make_folder(name, cat=2, dog=1) for name in ("train", "val", "test"))
    index = index_of(train, val, test=test)
    assert index.test is not None
    assert len(index.test) == 3
    assert index_of(train, val).test is None
    (test / "bird").mkdir()
    assert set(problems_of(train, val, classes=["cat", "dog"], test=test)) == {str(test / "bird")}


def test_a_missing_split_does_not_hide_the_problems_of_another(make_folder, tmp_path):
    train = make_folder("train", cat=1, dogs=1)
    found = problems_of(train, tmp_path / "no", classes=["cat", "dogs", "bird"])
    assert set(found) == {"data.val", str(train / "bird")}


def test_a_report_of_many_problems_is_cut_in_the_message_but_whole_in_the_exception(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    for number in range(80):
        (train / f"extra_{number}").mkdir()
    with pytest.raises(DatasetError, match="and 30 more") as caught:
        index_of(train, val, classes=["cat", "dog"])
    assert len(caught.value.problems) == 80


def test_the_fingerprint_changes_with_a_name_and_with_a_label(make_folder):
    train, val = make_folder("train", cat=2, dog=1), make_folder("val", cat=1)
    before = index_of(train, val).train.fingerprint()
    assert index_of(train, val).train.fingerprint() == before
    assert index_of(train, val, classes=["dog", "cat"]).train.fingerprint() != before
    (train / "cat" / "0.png").rename(train / "cat" / "x.png")
    assert index_of(train, val).train.fingerprint() != before


def test_a_sample_costs_at_most_200_bytes(make_folder):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    for i in range(1000):
        (train / "cat" / f"a_file_name_of_a_usual_length_{i:08d}.jpg").touch()
    index = index_of(train, val).train
    assert index.nbytes <= 200 * len(index)


@pytest.mark.parametrize("target", ["..", "../.."])
def test_a_link_to_a_folder_that_holds_the_data_set_is_an_error(make_folder, target):
    train, val = make_folder("train", cat=1, dog=1), make_folder("val", cat=1)
    (train / "cat" / "loop").symlink_to(target)
    found = problems_of(train, val)
    assert found == {str(train / "cat" / "loop"): "is a link to a folder that holds this one"}
