"""Makes text from corpora, models and files safe to print on a terminal."""

from __future__ import annotations

import re

# Control characters move the cursor, change colours and more; the last ones turn the direction of a line.
_CONTROLS = re.compile("\r\n|[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SIGNS = {"\n": "⏎", "\r": "⏎", "\r\n": "⏎", "\t": " ", "\x7f": "␡", "\u2028": "⏎", "\u2029": "⏎"}


def visible(text: str) -> str:
    """Put the text on one line, with one sign per control character: ⏎ for a line break, a space for a tab."""
    return _CONTROLS.sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    control = found.group()
    # U+2400 and on are pictures of the control characters below U+0020.
    return _SIGNS.get(control) or (chr(0x2400 + ord(control)) if control < "\x20" else "\ufffd")
