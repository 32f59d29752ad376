"""The clipboard of the desktop, through the program that the system has for it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from depixel.base.errors import DepixelError

_LIMIT = 20  # seconds

_PATH = "DEPIXEL_PICTURE"  # the environment variable with the path of the picture
_APPLESCRIPT = f'set the clipboard to (read (POSIX file (system attribute "{_PATH}")) as «class PNGf»)'
_POWERSHELL = (
    "Add-Type -AssemblyName System.Windows.Forms, System.Drawing; "
    f"[System.Windows.Forms.Clipboard]::SetImage([System.Drawing.Image]::FromFile($env:{_PATH}))"
)


class Program(NamedTuple):
    """A program that puts a PNG on the clipboard.

    Attributes:
        command: the program and its arguments.
        from_file: whether it reads the file that an environment variable names, rather than standard input.
    """

    command: tuple[str, ...]
    from_file: bool = False


def find(system: str = sys.platform, environment: Mapping[str, str] = os.environ) -> Program:
    """Find the program for the clipboard of this desktop.

    Args:
        system: as `sys.platform`. environment: the environment variables, which say which desktop this is.

    Raises:
        DepixelError: there is no desktop, or no such program; names what to install.
    """
    if system == "darwin":
        return Program((_installed("osascript", "It is a part of macOS"), "-e", _APPLESCRIPT), from_file=True)
    if system == "win32":
        shell = _installed("powershell", "It is a part of Windows")
        return Program((shell, "-NoProfile", "-STA", "-Command", _POWERSHELL), from_file=True)
    if environment.get("WAYLAND_DISPLAY"):
        return Program((_installed("wl-copy", "Install the package wl-clipboard"), "--type", "image/png"))
    if environment.get("DISPLAY"):
        xclip = _installed("xclip", "Install the package xclip")
        return Program((xclip, "-selection", "clipboard", "-target", "image/png", "-in"))
    raise DepixelError(
        "--copy: there is no desktop here, so there is no clipboard (neither WAYLAND_DISPLAY nor DISPLAY is set). "
        "Write a file instead: -o FILE.png"
    )


def _installed(name: str, advice: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise DepixelError(f"--copy: the program for the clipboard, {name}, is not on the PATH. {advice}")
    return path


def copy(png: bytes, program: Program) -> None:
    """Put a picture on the clipboard.

    Args:
        png: the bytes of a PNG. program: from `find`.

    Raises:
        DepixelError: the program fails; repeats what it says.
    """
    with tempfile.TemporaryDirectory(prefix="depixel-") as folder, tempfile.TemporaryFile() as said:
        path = Path(folder) / "picture.png"
        path.write_bytes(png)
        # wl-copy and xclip go on in the background, with the standard error open: a pipe would wait for their end
        try:
            done = subprocess.run(  # noqa: S603
                program.command,
                input=b"" if program.from_file else png,
                stdout=subprocess.DEVNULL,
                stderr=said,
                timeout=_LIMIT,
                env={**os.environ, _PATH: str(path)},
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            raise DepixelError(f"--copy: {program.command[0]} does not work ({error})") from error
        if done.returncode:
            said.seek(0)
            why = " ".join(said.read(2000).decode("utf-8", "replace").split()) or f"exit code {done.returncode}"
            raise DepixelError(f"--copy: {program.command[0]} failed ({why}). Is this terminal on a desktop?")
