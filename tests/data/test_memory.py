"""Mapped arrays: what is announced to the kernel lies within the file, wherever the array begins in it."""

import numpy as np
import pytest

from pfljax.data.memory import announce


@pytest.mark.parametrize("header", [0, 128, 4096, 70_000])
def test_rows_of_a_view_of_a_part_of_a_file_are_announced(tmp_path, header):
    whole = np.arange(header + 6000 * 20, dtype=np.uint8)
    (tmp_path / "rows.bin").write_bytes(whole.tobytes())
    mapped = np.memmap(tmp_path / "rows.bin", np.uint8, "r", header, (6000, 20))
    begin, end = np.array([0, 17, 5990, 6000]), np.array([17, 17, 6000, 6000])
    for array in (mapped, mapped[:, 1:], mapped[:, -1]):
        announce(array, begin, end)
        np.testing.assert_array_equal(array[5990:6000].ravel()[-1], whole[-1])
    announce(np.zeros((6000, 20)), begin, end)  # not mapped: nothing to say
