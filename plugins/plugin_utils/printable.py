"""Makes text of a node safe to show, as the helper does (modules/internal/printable).

Control and format characters, line separators and bytes that are no UTF-8 become
escapes that can be read: a name in a repository must not set the terminal's title,
clear the screen, or reorder what an operator reads.
"""

import re

# Soft hyphen and the joiners of Persian, Indic scripts and emoji stay.
HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]")


def printable(value):
    """Returns value, a tree of JSON, with every text made printable; line breaks and tabs stay."""
    if isinstance(value, str):
        return HOSTILE.sub(_escape, value)
    if isinstance(value, dict):
        return {printable(k): printable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(v) for v in value]
    return value


def _escape(match):
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8 (surrogateescape)
        return "\\x%02x" % (code - 0xDC00)
    return "\\r" if code == 0x0D else "\\x%02x" % code if code < 0x80 else "\\u%04x" % code if code < 0x10000 else "\\U%08x" % code
