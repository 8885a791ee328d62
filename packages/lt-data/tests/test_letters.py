from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_data import base_letters


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("f\u00fcr Se\u00f1or \u00c9l\u00edas", "fur Senor Elias"),
        ("fu\u0308r", "fur"),
        ("Stra\u00dfe, \u0142\u00f3d\u017a, \u00f8re", "Strasse, lodz, ore"),
        ("\u732b cat", "? cat"),
        ("\udcff.png", "?.png"),
    ],
)
def test_letters_lose_their_accents_and_what_has_no_base_letter_is_a_question_mark(text, plain):
    assert base_letters(text) == plain


@given(st.text())
def test_all_text_becomes_ascii_and_ascii_stays(text):
    assert base_letters(text).isascii()
    assert base_letters(base_letters(text)) == base_letters(text)
