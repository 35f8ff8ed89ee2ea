"""Makes text of a node safe to show, as the helper does (modules/internal/printable): a name in a repository must not set
the terminal's title, clear the screen, or reorder what an operator reads."""

import re
import unicodedata

# Control and format characters, bytes that are no UTF-8, separators of lines.
HOSTILE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(value):
    """Returns value, a tree of JSON, with every text made printable; line breaks, tabs, joiners and soft hyphens stay."""
    if isinstance(value, str):
        return re.sub("[^\n\t -~\xad\u200c\u200d]", lambda m: ascii(m[0])[1:-1] if unicodedata.category(m[0]) in HOSTILE else m[0], value)
    if isinstance(value, dict):
        return {printable(k): printable(v) for k, v in value.items()}
    return [printable(v) for v in value] if isinstance(value, (list, tuple)) else value
