"""Text that came from outside may hold control and bidi characters that move a terminal's cursor
or reorder a line; they are printed as escapes.
"""

import re

# Controls, and the invisible characters that reorder, join or hide what stands around them.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def escaped(text: str) -> str:
    """`text` with everything that could move a cursor or reorder a line written as an escape."""
    return _UNSAFE.sub(lambda match: _escape(match[0]), text)


def safe_json(text: str) -> str:
    """JSON that prints safely and still means the same; line ends of the layout stay."""
    return _UNSAFE.sub(lambda m: "\n" if m[0] == "\n" else _json_escape(m[0]), text)


def _escape(character: str) -> str:
    known = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return known.get(character) or character.encode("unicode_escape", "replace").decode()


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[k : k + 4]}" for k in range(0, len(units), 4))
