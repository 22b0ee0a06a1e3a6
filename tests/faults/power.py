"""Power cuts: an ext4 of our own in a loop-mounted file, shut down without writing anything more."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.fast import fast_folder

#: ext4's EXT4_IOC_SHUTDOWN, and "do not flush the journal": what was not synced is lost.
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


class Disk:
    """A small disk that can lose its power."""

    def __init__(self, folder: Path) -> None:
        self.mount_point = folder / "mount"
        self.mount_point.mkdir()
        self._image = folder / "disk"
        self._empty = folder / "empty"
        with self._empty.open("wb") as stream:
            stream.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", str(self._empty)], check=True)

    def make_new(self) -> None:
        """Begin with an empty file system."""
        self.unmount()
        shutil.copyfile(self._empty, self._image)
        self.mount()

    def mount(self) -> None:
        """Attach it; the journal is replayed, as after a power cut."""
        subprocess.run(
            ["mount", "-o", "loop", str(self._image), str(self.mount_point)], check=True, capture_output=True
        )

    def unmount(self) -> None:
        """Detach it."""
        subprocess.run(["umount", str(self.mount_point)], check=False, capture_output=True)

    def cut_power(self) -> None:
        """Lose whatever was not synced; the file system answers EIO from now on."""
        descriptor = os.open(self.mount_point, os.O_RDONLY)
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        os.close(descriptor)

    def cut_power_and_die(self) -> None:
        """For a failpoint."""
        self.cut_power()
        os.kill(os.getpid(), signal.SIGKILL)

    def restart(self) -> None:
        """Power again."""
        self.unmount()
        self.mount()


@contextmanager
def disk() -> Iterator[Disk]:
    """A disk; skips the test with the reason where this machine cannot mount one."""
    with fast_folder() as folder:
        made = _first_disk(folder)
        try:
            yield made
        finally:
            made.unmount()


def _first_disk(folder: Path) -> Disk:
    try:
        made = Disk(folder)
        made.make_new()
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        detail = getattr(error, "stderr", b"") or b""
        pytest.skip(f"a loop mount of ext4 is not possible here: {error} {detail.decode(errors='replace')}")
    return made
