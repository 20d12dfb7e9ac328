"""A disk of a deployment's own that can be full, slow, hang, or fail: an ext4 in a file, where root may mount it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from beast_ml.errors import UnavailableError

__all__ = ["LoopDisk", "limited_files", "why_no_disk"]

_THROTTLE: Final = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")
_IMAGE_MB: Final = 256
_FILL: Final = 1 << 20
_TOOLS: Final = ("mount", "umount", "losetup", "mkfs.ext4", "fsck.ext4", "fsfreeze")
_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def why_no_disk() -> str | None:
    """Return why no disk can be mounted here; None: it can be tried."""
    if os.geteuid() != 0:
        return "mounting needs root"
    missing = [name for name in _TOOLS if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return None if Path("/dev/loop-control").exists() else "this machine has no loop devices"


class LoopDisk:
    """A file system in a file.

    Parameters
    ----------
    folder
        Where it is mounted.
    image
        The file.

    Raises
    ------
    UnavailableError
        If it cannot be mounted here.
    """

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder, self._image = folder, image
        self._filler = folder / ".filler"
        with image.open("wb") as file:
            file.truncate(_IMAGE_MB << 20)
        _run(["mkfs.ext4", "-q", "-m", "0", str(image)])
        folder.mkdir(parents=True, exist_ok=True)
        self._mount()

    @property
    def why_not_slow(self) -> str | None:
        """Why it cannot be slowed here; None: it can."""
        return None if _THROTTLE.exists() else "needs the blkio controller of cgroup v1"

    @property
    def why_not_failing(self) -> str | None:
        """Why it cannot be made to fail here; None: it can."""
        return None if self._trigger.exists() else "this kernel's ext4 has no trigger_fs_error"

    def fill(self) -> None:
        """Take all room that there is."""
        piece = bytes(_FILL)
        fd = os.open(self._filler, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            while piece:
                try:
                    while os.write(fd, piece):
                        pass
                except OSError:
                    piece = piece[: len(piece) // 4]
        finally:
            os.close(fd)

    def make_room(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink(missing_ok=True)

    def slow(self, bytes_per_s: int) -> None:
        """Let it take no more than so many bytes a second; 0: as many as it can."""
        try:
            _THROTTLE.write_text(f"{self._number} {bytes_per_s}\n")
        except OSError as error:
            raise UnavailableError(f"how much the disk takes cannot be set here: {error}") from error

    def hang(self) -> None:
        """Let every write wait until `thaw`."""
        _run(["fsfreeze", "--freeze", str(self.folder)])

    def thaw(self) -> None:
        """Let what waits go on."""
        _run(["fsfreeze", "--unfreeze", str(self.folder)])

    def fail(self) -> None:
        """Let it meet an error, upon which it takes nothing any more: it is read-only."""
        self._trigger.write_text("1")

    def repair(self) -> None:
        """Check it and mount it anew; processes that had files open on it must be started again."""
        _run(["umount", "--lazy", str(self.folder)])
        _run(["fsck.ext4", "-p", str(self._image)], good=(0, 1))
        self._mount()

    def heal(self) -> None:
        """Let go on what waits for it, if anything does: else nothing that writes to it can end, or be killed."""
        with suppress(UnavailableError):
            self.slow(0)
        with suppress(UnavailableError):
            self.thaw()

    def close(self) -> None:
        """Unmount it, and remove its file."""
        self.heal()
        with suppress(UnavailableError):
            _run(["umount", "--lazy", str(self.folder)])
        self._image.unlink(missing_ok=True)

    @property
    def _trigger(self) -> Path:
        return Path("/sys/fs/ext4") / self._device.name / "trigger_fs_error"

    @property
    def _number(self) -> str:
        device = self._device.stat().st_rdev
        return f"{os.major(device)}:{os.minor(device)}"

    def _mount(self) -> None:
        self._device = Path(_run(["losetup", "--find", "--show", str(self._image)]).strip())
        try:
            _run(["mount", "-o", "errors=remount-ro", str(self._device), str(self.folder)])
        finally:
            _run(["losetup", "--detach", str(self._device)])  # it goes when it is mounted no more


def limited_files(pids: Sequence[int], n_bytes: int | None) -> None:
    """Let processes write no file beyond so many bytes, as a quota does; None: as far as they may.

    Raises
    ------
    UnavailableError
        If this system, or this user, cannot.
    """
    import resource

    for pid in pids:
        with suppress(ProcessLookupError):
            try:
                _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                soft = most if n_bytes is None else n_bytes
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, most))
            except (AttributeError, PermissionError, ValueError) as error:
                raise UnavailableError(f"limits of other processes cannot be set here: {error}") from error


def _run(command: Sequence[str], good: Sequence[int] = (0,)) -> str:
    program = shutil.which(command[0], path=_PATH)
    if program is None:
        raise UnavailableError(f"{command[0]} is not installed")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode not in good:
        raise UnavailableError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.returncode}")
    return done.stdout
