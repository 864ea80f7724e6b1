"""Text of files, models and errors, made safe to show."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ufdd0-\ufdef\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|(?<![^\x00-\x7f\u200c\u200d])[\u200c\u200d]|[\u200c\u200d](?=[0-9A-Za-z])"
    "|(?<![^\x00-\x7f\u200c\u200d\ufe00-\ufe0f])(?!(?<=[0-9#*])\ufe0f\u20e3)[\ufe00-\ufe0f]"
)
"""Controls, bidirectional overrides and marks, blanks without width, tags, halves of surrogate pairs.

Joiners and variation selectors, which scripts and emoji need after a character that is not ASCII, are
unseen elsewhere, but for keycaps.
"""


def visible(text: str, longest: int = 1000) -> str:
    """`text` with every character that is not seen written out, ⟨U+202E⟩, and cut after `longest`.

    Text of a file can then neither steer a terminal, nor turn the text around it, nor look like
    another text. Line feeds and tabs stay, as do the joiners where scripts and emoji need them.
    """
    cut = text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", cut.replace("\r\n", "\n"))


def on_one_line(text: str, longest: int = 1000) -> str:
    """`visible` text, each run of white space one blank."""
    return " ".join(visible(text, longest).split())


def shortened(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters, nothing in it unseen."""
    flat = on_one_line(text)
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def markdown(text: str) -> str:
    """`text` on one line of Markdown that shows as itself: no mark-up, links or HTML, no table cell.

    GitHub's dialect makes links of bare addresses, too: an escape within keeps them text.
    """
    escaped = re.sub(r"([\\`*_\[\]<>&|~$#@])", r"\\\1", on_one_line(text))
    return re.sub(r"(?i):(?=//)|(?<=www)\.", r"\\\g<0>", escaped)
