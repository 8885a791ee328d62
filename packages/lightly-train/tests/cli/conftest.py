from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from lightly_train.cli import main


@attrs.frozen
class Answer:
    status: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """A command in this process."""

    def run(*words: object) -> Answer:
        capsys.readouterr()
        status = 0
        try:
            main([str(word) for word in words])
        except SystemExit as left:
            assert isinstance(left.code, int)
            status = left.code
        printed = capsys.readouterr()
        return Answer(status, printed.out, printed.err)

    return run
