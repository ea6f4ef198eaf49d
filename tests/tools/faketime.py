"""A system clock of its own for a process: libfaketime (Debian: faketime), moved while the process runs."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from process import environment


class FakeTime:
    """Moves the clocks of all processes started with `env`; time that passes (CLOCK_MONOTONIC, CLOCK_BOOTTIME) stays real."""

    def __init__(self, file: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            pytest.skip("libfaketime is not installed; Debian has it in the package faketime")
        self._file = file
        self.move("+0")
        self.env: Mapping[str, str] = environment(
            LD_PRELOAD=str(libraries[0]),
            FAKETIME_TIMESTAMP_FILE=str(file),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )

    def move(self, by: str) -> None:
        """Set the clock to the real time and `by`, such as `+3d`; at once, for a reader never finds half a file."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(by + "\n")
        fresh.rename(self._file)
