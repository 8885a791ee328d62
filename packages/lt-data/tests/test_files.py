from __future__ import annotations

import os

import pytest

from lt_data import atomic_write, check_writable


def test_a_file_appears_whole(tmp_path):
    with atomic_write(tmp_path / "a.bin") as stream:
        stream.write(b"one")
        assert not (tmp_path / "a.bin").exists()
        stream.write(b"two")
    assert (tmp_path / "a.bin").read_bytes() == b"onetwo"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")

    def fail() -> None:
        with atomic_write(tmp_path / "a.bin") as stream:
            stream.write(b"half of the ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_folder_that_takes_files_is_left_as_it_was(tmp_path):
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_or_a_file_takes_none(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(OSError, match=folder.name):
            check_writable(folder)


def test_a_folder_that_nobody_can_write_to_is_found_out(sealed_folder):
    with pytest.raises(OSError, match=str(sealed_folder)):
        check_writable(sealed_folder)


def test_a_folder_without_permission_is_given_up_at_the_first_refusal(tmp_path, monkeypatch):
    """Python's `tempfile` goes on for hours on Windows."""
    tried = []

    def refuse(path, *arguments):
        tried.append(path)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        check_writable(tmp_path)
    assert len(tried) == 1
