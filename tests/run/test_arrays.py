"""Arrays are named by what they hold: a file is what was saved, or it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeeval.run.arrays import is_as_saved, save_array


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    array = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
    return tmp_path / save_array(tmp_path, array)


def test_what_was_saved_is_what_numpy_reads(saved: Path) -> None:
    assert np.load(saved).shape == (3, 2, 5)
    assert is_as_saved(saved)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_no_bit_of_the_file_can_change_unseen(saved: Path) -> None:
    """Every byte: magic, header, the blanks that fill it up, numbers."""
    whole = saved.read_bytes()
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1
        saved.write_bytes(data)
        assert not is_as_saved(saved), at


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"garbage" * 40])
def test_what_is_no_array_is_not_what_was_saved(saved: Path, data: bytes) -> None:
    saved.write_bytes(data)
    assert not is_as_saved(saved)
