"""What `clean` promises about strings that come from files."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from refsim.formats.untrusted.text import clean, is_clean


@given(st.text())
def test_cleaned_text_is_one_printable_line_and_stays_the_same(text: str) -> None:
    cleaned = clean(text, None)
    assert cleaned.isprintable()
    assert len(cleaned.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in cleaned)
    assert clean(cleaned, None) == cleaned
    assert is_clean(text) == (cleaned == text)


@given(st.text(), st.integers(1, 50))
def test_long_text_is_cut_before_it_is_escaped(text: str, limit: int) -> None:
    assert len(clean(text, limit)) <= 10 * limit
    assert clean(text, max(limit, len(text))) == clean(text, None)


def test_what_could_act_on_a_terminal_is_shown_instead() -> None:
    assert clean("\x1b[31mred\x07\n\r\t\0") == r"\x1b[31mred\x07\x0a\x0d\x09\x00"
    assert clean("\N{RIGHT-TO-LEFT OVERRIDE}gnp\N{ZERO WIDTH SPACE}\N{LINE SEPARATOR}") == r"\u202egnp\u200b\u2028"
    assert clean("\U000e0041") == r"\U000e0041"
    assert clean("Fröschlein \N{FROG FACE} T-shirt/top") == "Fröschlein \N{FROG FACE} T-shirt/top"
    assert clean("abcdef", 4) == "abc\N{HORIZONTAL ELLIPSIS}"
