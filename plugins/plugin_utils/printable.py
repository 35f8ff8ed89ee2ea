"""Makes text of a node safe to show, as the helper does (modules/internal/printable): a name in a repository must not set
the terminal's title, clear the screen, or reorder what an operator reads."""

import re
import unicodedata


def printable(value):
    """Returns value, a tree of JSON, with every text made printable; line breaks and tabs stay."""
    if isinstance(value, str):
        return re.sub("[^\n\t -~]", _escape, value)
    if isinstance(value, dict):
        return {printable(k): printable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(v) for v in value]
    return value


def _escape(match):
    """Spells control and format characters, separators of lines and bytes that are no UTF-8; joiners and soft hyphens stay."""
    char, code = match.group(), ord(match.group())
    if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or code in (0xAD, 0x200C, 0x200D):
        return char
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8 (surrogateescape)
        return "\\x%02x" % (code - 0xDC00)
    return "\\r" if code == 0x0D else "\\x%02x" % code if code < 0x80 else "\\u%04x" % code if code < 0x10000 else "\\U%08x" % code
