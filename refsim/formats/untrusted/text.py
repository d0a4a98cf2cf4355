"""Making strings that come from a file safe to show."""

from __future__ import annotations


def clean(text: str, limit: int | None = 200) -> str:
    """Text without anything that could act on a terminal or hide what it says.

    Control characters, newlines, bidirectional marks and every other character that is not printable become
    visible escapes such as `\\x1b`; text beyond `limit` characters (None: no limit) is cut with an ellipsis.
    The result is one line, and cleaning it again changes nothing.
    """
    if limit is not None and len(text) > limit:
        text = text[: max(limit - 1, 0)] + "\N{HORIZONTAL ELLIPSIS}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def brief(value: object, limit: int = 60) -> str:
    """A value of any type, as Python writes it, clean and cut."""
    try:
        return clean(repr(value), limit)
    except ValueError:  # an integer with more digits than Python writes
        return "more digits than a number has"


def is_clean(text: str) -> bool:
    """Whether `clean` would show the text as it is."""
    return text.isprintable()


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
