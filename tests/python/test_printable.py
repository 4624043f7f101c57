"""Untrusted text in messages: characters that steer a terminal or hide text are escaped."""

import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from memattn import FormatError, MemoryAugmentedAttention, _memattn
from memattn.errors import printable

# Controls, formatting marks, separators and spaces, private use.
ESCAPED = {"Cc", "Cf", "Zs", "Zl", "Zp", "Co"}


def characters() -> list[str]:
    return [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]


def expected(character: str) -> str:
    """Return the expected escape of one character, from Python's own tables."""
    if character == " " or unicodedata.category(character) not in ESCAPED:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else character.encode("unicode_escape").decode()


def test_every_character_is_escaped_as_expected() -> None:
    # Unassigned code points may be either, since Unicode may still assign them.
    known = [one for one in characters() if unicodedata.category(one) != "Cn"]
    shown = printable("\n".join(known)).split("\\x0a")
    # A newline is one of the characters, and also separates them.
    at = known.index("\n")
    assert shown[at : at + 2] == ["", ""]
    del shown[at]
    wrong = [
        (hex(ord(one)), text)
        for one, text in zip(known, shown, strict=True)
        if text != expected(one) and one != "\n"
    ]
    assert wrong == []


def test_code_points_that_are_never_characters_are_escaped() -> None:
    assert printable("\ufdd0\uffff\U0001fffe\U000e0fff") == "\\ufdd0\\uffff\\U0001fffe\\U000e0fff"


def test_bytes_of_a_path_that_are_not_utf8_are_escaped() -> None:
    assert printable("a\udc80\udcff") == "a\\x80\\xff"
    assert printable("\ud800") == "\\xed\\xa0\\x80"  # a surrogate that does not encode a byte
    assert _memattn.printable(b"\xc3(") == "\\xc3("


def test_text_of_any_length_is_kept() -> None:
    assert len(printable("x" * 1_000_000)) == 1_000_000


HOSTILE = "\x1b]0;owned\x07\u009b31m\u202e\u2066\u200f\ufeff\u2028\x85\r\n"


def same_messages(path: Path) -> str:
    """Return the message for a file, which must be safe to print on a terminal."""
    with pytest.raises(FormatError) as caught:
        MemoryAugmentedAttention.load(path)
    return str(caught.value)


@pytest.mark.parametrize("place", ["format", "format_version", "config", "key", "name", "dtype"])
def test_text_from_a_file_is_escaped(tmp_path: Path, place: str) -> None:
    import json
    import struct

    path = tmp_path / "layer.safetensors"
    MemoryAugmentedAttention(2, 2, 1, use_bias=False).save(path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    if place in metadata:
        metadata[place] = HOSTILE if place != "config" else json.dumps({"units" + HOSTILE: 1})
    elif place == "key":
        header["memory"][HOSTILE] = 1
    elif place == "name":
        header[HOSTILE] = header.pop("memory")
    else:
        header["memory"]["dtype"] = HOSTILE
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    message = same_messages(path)
    assert message == printable(message)
    assert "\\u202e" in message or place == "name"  # the missing "memory" is reported first


def test_paths_are_escaped_alike_in_all_messages(tmp_path: Path) -> None:
    """Equal escapes let a caller cut the path from the front of a message."""
    path = tmp_path / "\u202e\u009b.safetensors"
    path.write_bytes(bytes(np.zeros(9)))
    assert same_messages(path).startswith(f"{printable(str(path))}: ")
