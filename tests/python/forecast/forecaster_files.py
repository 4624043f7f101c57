"""Helpers for tests of saved forecasters: small ones, round trips, and edits of file headers."""

import hashlib
import json
import re
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

from memattn.forecast import Forecaster

from .data.test_frames import same_frame


def small(**options: Any) -> Forecaster:
    return Forecaster(3, steps=5, **options)


def comes_back(forecaster: Forecaster, path: Path, level: list[float] | None) -> Forecaster:
    forecaster.save(path)
    found = Forecaster.load(path)
    expected = forecaster.predict(level=level)
    if isinstance(expected, str):
        assert found.predict(level=level) == expected
    else:
        same_frame(found.predict(level=level), expected)
    assert found.settings == forecaster.settings
    assert found.notes == forecaster.notes
    assert repr(found) == repr(forecaster)
    zones = [one._state("test").panel.zone for one in (found, forecaster)]
    offsets = [datetime(2024, 7, 1, tzinfo=zone).utcoffset() for zone in zones]
    assert offsets[0] == offsets[1]
    again = path.with_name("again")
    found.save(again)
    assert again.read_bytes() == path.read_bytes()
    return found


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def signed(data: bytes) -> bytes:
    """Returns a file's bytes with the checksum corrected, if it has one."""
    entry = re.compile(rb'(?<="checksum": ")[^"]{64}')
    unsigned = entry.sub(b"0" * 64, data, 1)
    return entry.sub(hashlib.sha256(unsigned).hexdigest().encode(), unsigned, 1)


def joined(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return signed(struct.pack("<Q", len(text)) + text + body)
