"""The state of a training run on disk, in two files. However the process ends, one of them is complete."""

import hashlib
import io
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from depixel.base.errors import DepixelError
from depixel.base.files import replacing, told_of

RUNS_KEPT = 3
"""The number of most recently used runs whose checkpoints are kept."""


class Checkpoints:
    """The checkpoints of one run: the last and the one before it.

    Args:
        root: the folder of all runs' checkpoints.
        fingerprint: the hash that identifies the run, in hexadecimal digits. Files of another run are never loaded.

    Attributes:
        folder: this run's folder within `root`.
        last, previous: the two files.
    """

    def __init__(self, root: Path, fingerprint: str):
        self.folder = root / fingerprint[:12]
        self.last, self.previous = self.folder / "last.pt", self.folder / "previous.pt"
        self._fingerprint = fingerprint

    def save(self, state: dict[str, Any]) -> None:
        """Write a state of tensors and plain values; the last checkpoint becomes the previous one.

        Raises:
            DepixelError: the file cannot be written; the last checkpoint stays.
        """
        payload = io.BytesIO()
        torch.save(state, payload)
        with replacing(self.last) as beside:
            with beside.open("wb") as file:
                file.write(self._digest(payload.getbuffer()))
                file.write(payload.getbuffer())
                file.flush()
                os.fsync(file.fileno())  # before the rename, in case of a power failure
            if self.last.exists():
                with told_of(self.previous):
                    self.last.replace(self.previous)

    def load(self) -> tuple[dict[str, Any] | None, list[Path]]:
        """Load the last valid checkpoint, and remove invalid and old ones.

        A file is invalid if it is cut off, damaged or of another run. Checkpoints of other runs are removed too, except
        for the most recently used runs (`RUNS_KEPT` with this one).

        Returns:
            The state, or None if there is no valid checkpoint; and the paths of the invalid files of this run.

        Raises:
            DepixelError: a file cannot be read or removed.
        """
        state: dict[str, Any] | None = None
        unusable: list[Path] = []
        try:
            for path in (self.last, self.previous):
                if state is None and path.exists():
                    content = memoryview(path.read_bytes())
                    digest, payload = content[:32], content[32:]
                    if digest == self._digest(payload):
                        # weights_only: allows tensors and plain values, runs no code
                        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
                        os.utime(self.folder)  # marks the run as used now
                    else:
                        path.unlink()
                        unusable.append(path)
        except OSError as error:
            raise DepixelError(
                f"{error.filename}: cannot be read or removed ({error.strerror}). Correct its permissions, or delete "
                "it to train without this checkpoint"
            ) from error
        self._remove_old_runs()
        return state, unusable

    def _digest(self, payload: memoryview) -> bytes:
        """The first 32 bytes of a checkpoint: a hash of its other bytes and of the run's fingerprint."""
        digest = hashlib.sha256(self._fingerprint.encode())
        digest.update(payload)
        return digest.digest()

    def _remove_old_runs(self) -> None:
        runs = [path for path in self.folder.parent.glob("*") if re.fullmatch("[0-9a-f]{12}", path.name)]
        others = sorted((path for path in runs if path != self.folder), key=lambda path: path.stat().st_mtime)
        for path in others[: -(RUNS_KEPT - 1)]:
            shutil.rmtree(path, ignore_errors=True)
