import os
import sys
from pathlib import Path

import pytest

from depixel.base.errors import DepixelError
from depixel.pictures import clipboard

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs of this test are scripts of a shell")


def put(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """The only folder on the PATH beside those of the system's own commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/nowhere")
    return folder


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, "wl-copy"),
        ({"DISPLAY": ":0"}, "xclip"),
    ],
)
def test_the_program_of_the_desktop_gets_the_png(programs, environment, name):
    put(programs, name, f"/bin/cat > {programs}/got\necho $@ > {programs}/arguments")
    clipboard.copy(b"\x89PNG picture", clipboard.find("linux", environment))
    assert (programs / "got").read_bytes() == b"\x89PNG picture"
    assert "image/png" in (programs / "arguments").read_text()


@pytest.mark.parametrize(("system", "name"), [("darwin", "osascript"), ("win32", "powershell")])
def test_elsewhere_it_gets_a_file(programs, system, name):
    put(programs, name, f"/bin/cat $DEPIXEL_PICTURE > {programs}/got")
    program = clipboard.find(system, {})
    assert "DEPIXEL_PICTURE" in program.command[-1]
    clipboard.copy(b"\x89PNG picture", program)
    assert (programs / "got").read_bytes() == b"\x89PNG picture"


@pytest.mark.parametrize(
    ("system", "environment", "said"),
    [
        ("linux", {}, "there is no desktop here, so there is no clipboard"),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, "wl-copy, is not on the PATH. Install the package wl-clipboard"),
        ("linux", {"DISPLAY": ":0"}, "xclip, is not on the PATH. Install the package xclip"),
        ("darwin", {}, "osascript, is not on the PATH"),
        ("win32", {}, "powershell, is not on the PATH"),
    ],
)
def test_where_there_is_none_the_error_says_what_to_install(programs, system, environment, said):
    with pytest.raises(DepixelError, match=f"^--copy: .*{said}"):
        clipboard.find(system, environment)


def test_a_program_that_fails_is_reported(programs):
    put(programs, "xclip", "echo cannot open display >&2; exit 1")
    with pytest.raises(DepixelError, match=r"xclip failed \(cannot open display\)"):
        clipboard.copy(b"picture", clipboard.find("linux", {"DISPLAY": ":0"}))


def test_a_program_that_goes_on_in_the_background_is_not_waited_for(programs):
    """xclip keeps the picture until something else is copied."""
    put(programs, "xclip", "/bin/cat > /dev/null\n/bin/sleep 30 &")
    clipboard.copy(b"picture", clipboard.find("linux", {"DISPLAY": ":0"}))


def test_a_program_that_hangs_is_ended(programs, monkeypatch):
    monkeypatch.setattr(clipboard, "_LIMIT", 0.2)
    put(programs, "xclip", "exec /bin/sleep 30")
    with pytest.raises(DepixelError, match="xclip does not work"):
        clipboard.copy(b"picture", clipboard.find("linux", {"DISPLAY": ":0"}))
