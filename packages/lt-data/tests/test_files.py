from __future__ import annotations

import pytest

from lt_data import atomic_write


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
