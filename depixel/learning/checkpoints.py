"""The state of a training run on disk: two files, of which a whole one is always there, whatever ends the process."""

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
"""Number of runs whose checkpoints are kept: those used last."""


class Checkpoints:
    """The checkpoints of one run: the last and the one before it.

    Args:
        root: the folder of all runs' checkpoints; this run's are in `folder`, which is within.
        fingerprint: a hexadecimal hash of what determines the run. Files of another run are never loaded.
    """

    def __init__(self, root: Path, fingerprint: str):
        self.folder = root / fingerprint[:12]
        self.last, self.previous = self.folder / "last.pt", self.folder / "previous.pt"
        self._fingerprint = fingerprint

    def save(self, state: dict[str, Any]) -> None:
        """Write a state of tensors and plain values; the last checkpoint becomes the previous one.

        Raises:
            DepixelError: it cannot be written; the last checkpoint stays.
        """
        payload = io.BytesIO()
        torch.save(state, payload)
        with replacing(self.last) as beside:
            with beside.open("wb") as file:
                file.write(self._digest(payload.getbuffer()))
                file.write(payload.getbuffer())
                file.flush()
                os.fsync(file.fileno())  # before its name appears, should the machine lose its power
            if self.last.exists():
                with told_of(self.previous):
                    self.last.replace(self.previous)

    def load(self) -> tuple[dict[str, Any] | None, list[Path]]:
        """The state of the last whole checkpoint, None if there is none; and the paths of others, which are removed.

        Those are cut off, damaged or of another run. The checkpoints of other runs are removed too, but for the
        `RUNS_KEPT` runs that were used last.

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
                        # weights_only: tensors and plain values by allow-list, no code
                        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
                        os.utime(self.folder)  # used just now
                    else:
                        path.unlink()
                        unusable.append(path)
        except OSError as error:
            raise DepixelError(
                f"{error.filename}: cannot be read ({error.strerror}). Make it readable, or delete it to go on without"
            ) from error
        self._remove_old_runs()
        return state, unusable

    def _digest(self, payload: memoryview) -> bytes:
        """What a checkpoint begins with: it vouches for every byte of it, and for the run."""
        digest = hashlib.sha256(self._fingerprint.encode())
        digest.update(payload)
        return digest.digest()

    def _remove_old_runs(self) -> None:
        runs = [path for path in self.folder.parent.glob("*") if re.fullmatch("[0-9a-f]{12}", path.name)]
        others = sorted((path for path in runs if path != self.folder), key=lambda path: path.stat().st_mtime)
        for path in others[: -(RUNS_KEPT - 1)]:
            shutil.rmtree(path, ignore_errors=True)
