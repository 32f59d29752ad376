"""Folders with pictures that need nothing, other formats, standard input and output."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from depixel.commands.pictures import pixelate, restore
from depixel.pictures import formats
from depixel.pictures import pixels as plain
from tests.conftest import REPOSITORY
from tests.detection.test_search import photo
from tests.model import test_predictor

pytestmark = pytest.mark.usefixtures("one_thread")

AREA = (16, 24, 48, 40, 8)
NAMED = ["--area", "16,24,48,40", "--block", "8"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """in/a.png pixelated, with its areas beside it; in/b.jpg and in/deep/c.avif untouched; m.safetensors."""
    (tmp_path / "in/deep").mkdir(parents=True)
    image = Image.fromarray(photo(120, 160)).convert("RGB")
    Image.fromarray(plain.pixelate(np.asarray(image), [AREA])).save(tmp_path / "in/a.png")
    (tmp_path / "in/a.png.areas.json").write_text(json.dumps({"areas": [AREA]}))
    image.save(tmp_path / "in/b.jpg", quality=80)
    image.save(tmp_path / "in/deep/c.avif")
    test_predictor.predictor().save(tmp_path / "m.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command, *arguments, **options):
    return CliRunner().invoke(command, [str(one) for one in arguments], **options)


def restored(*arguments, **options):
    return run(restore, *arguments, "--model", "m.safetensors", **options)


def test_pictures_of_a_folder_that_have_no_area_are_copied(folder):
    result = restored("in", "-o", "out")
    assert result.exit_code == 0, result.output
    assert "out/a.png: 16,24,48,40 in blocks of 8" in result.stdout
    assert "in/b.jpg: copied as it is: in/b.jpg: no area is named." in result.stderr
    for name in ("b.jpg", "deep/c.avif"):
        assert (folder / "out" / name).read_bytes() == (folder / "in" / name).read_bytes()
    assert (folder / "out/a.png").read_bytes() != (folder / "in/a.png").read_bytes()
    told = json.loads(restored("in", "-o", "out", "--force", "--json").stdout)
    assert [len(entry["areas"]) for entry in told["pictures"]] == [1, 0, 0] and not told["failed"]
    assert "copied as it is" in told["pictures"][1]["notes"][0]


def test_what_is_named_must_have_an_area_and_so_must_one_of_a_folder(folder):
    result = restored("in/a.png", "in/b.jpg", "-o", "out")
    assert result.exit_code == 1 and "in/b.jpg: no area is named." in result.stderr
    assert [path.name for path in (folder / "out").iterdir()] == ["a.png"]
    (folder / "in/a.png.areas.json").unlink()
    result = restored("in", "-o", "other")
    assert result.exit_code == 1 and result.stderr.count("no area is named.") == 3
    assert not (folder / "other").exists()


@pytest.mark.usefixtures("detector")
def test_where_nothing_is_found_in_a_folder_pictures_are_copied(folder):
    result = restored("in", "-o", "out", "--auto", "--format", "png")
    assert result.exit_code == 0, result.output
    assert "out/a.png: 16,24,48,40 in blocks of 8" in result.stdout
    assert "in/b.jpg: copied as it is: in/b.jpg: nothing looks pixelated" in result.stderr
    for name, copy in (("b.jpg", "b.png"), ("deep/c.avif", "deep/c.png")):
        found = formats.read(folder / "out" / copy)
        assert found.format == "PNG"
        np.testing.assert_array_equal(found.pixels, formats.read(folder / "in" / name).pixels)


def test_a_jpeg_becomes_a_png_without_loss(folder):
    result = run(pixelate, "in/b.jpg", "in/deep/c.avif", "-o", "pix", *NAMED, "--format", "png")
    assert result.exit_code == 0, result.output
    for name, source in (("b.png", "in/b.jpg"), ("c.png", "in/deep/c.avif")):
        np.testing.assert_array_equal(
            formats.read(folder / "pix" / name).pixels, plain.pixelate(formats.read(folder / source).pixels, [AREA])
        )
        assert (folder / f"pix/{name}.areas.json").is_file()
    result = restored("in/b.jpg", "-o", "out", "--format", "png", *NAMED)
    assert result.exit_code == 1  # b.jpg is not pixelated
    Image.open("pix/b.png").save("d.jpg", quality=95, subsampling=0)
    result = restored("d.jpg", "-o", "out", "--format", "png", *NAMED)
    assert result.exit_code == 0 and "out/d.png: 16,24,48,40" in result.stdout
    before, after = formats.read(folder / "d.jpg").pixels, formats.read(folder / "out/d.png").pixels
    changed = (before != after).any(axis=-1)
    assert changed[24:64, 16:64].any() and not changed[:24].any() and not changed[:, 64:].any()


def test_a_format_that_is_not_written_says_what_to_type(folder):
    result = restored("in/deep/c.avif", "-o", "out", *NAMED)
    assert result.exit_code == 1 and "in/deep/c.avif: AVIF is read, but not written." in result.stderr
    assert "--format png" in result.stderr and not (folder / "out").exists()


def test_two_pictures_that_would_be_the_same_png_are_told(folder):
    Image.open("in/b.jpg").save("in/b.png")
    result = run(pixelate, "in", "-o", "pix", *NAMED, "--format", "png")
    assert result.exit_code == 1 and "another picture is also written to pix/b.png" in result.stderr


@pytest.mark.parametrize("command", ["restore", "pixelate"])
def test_standard_input_and_output_are_one_picture(folder, command):
    arguments = ["restore", "--model", "m.safetensors"] if command == "restore" else ["pixelate"]
    done = subprocess.run(
        [sys.executable, "-m", "depixel.cli", *arguments, "-", "-o", "-", *NAMED],
        input=(folder / "in/a.png").read_bytes(),
        capture_output=True,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        check=True,
    )
    found = np.asarray(Image.open(io.BytesIO(done.stdout)))
    assert b"-: 16,24,48,40 in blocks of 8" in done.stderr
    expected = np.asarray(Image.open("in/a.png"))
    differ = (found != expected).any(axis=-1)
    assert not differ[:24].any() and differ[24:64, 16:64].any() == (command == "restore")
    assert sorted(path.name for path in folder.iterdir()) == ["in", "m.json", "m.safetensors"]


def test_a_file_may_go_to_standard_output_as_png(folder):
    result = run(pixelate, "in/b.jpg", "-o", "-", *NAMED, "--format", "png")
    assert result.exit_code == 0 and result.stdout_bytes.startswith(b"\x89PNG")
    assert np.asarray(Image.open(io.BytesIO(result.stdout_bytes))).shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-", "-o", "out"], "-: a picture from standard input has no name. Name a file, such as -o out.png"),
        (["-", "in/a.png", "-o", "-"], "are for one picture"),
        (["in", "-o", "-"], "are for one picture"),
        (["in/a.png", "-o", "-", "--json"], "both write to standard output"),
    ],
)
def test_what_does_not_fit_a_stream_is_told(folder, arguments, said):
    for command in (restore, pixelate):
        result = run(command, *arguments, *NAMED, input=b"")
        assert result.exit_code == 1 and said in str(result.exception)


def test_a_broken_or_empty_stream_is_told(folder):
    result = restored("-", "-o", "-", *NAMED, input=b"")
    assert result.exit_code == 1 and "Error: -: is empty" in result.stderr and not result.stdout_bytes
    result = restored("-", "-o", "-", *NAMED, input=(folder / "in/a.png").read_bytes()[:2000])
    assert result.exit_code == 1 and "Error: -: the file is damaged" in result.stderr
    result = restored("-", "-o", "-", input=(folder / "in/a.png").read_bytes())
    assert result.exit_code == 1 and "-: no area is named. Search for pixelated areas: --auto" in result.stderr


def test_a_single_picture_becomes_a_file(folder):
    result = restored("in/a.png", "-o", "new/b.jpg", "--compare", "sheet.png")
    assert result.exit_code == 0 and "new/b.jpg: 16,24,48,40 in blocks of 8" in result.stdout, result.output
    assert formats.read(folder / "new/b.jpg").format == "JPEG" and (folder / "sheet.png").is_file()
    again = restored("in/a.png", "-o", "new/b.jpg")
    assert again.exit_code == 1 and "new/b.jpg exists already" in again.stderr
    assert restored("in/a.png", "-o", "new/b.jpg", "--force").exit_code == 0
    told = json.loads(restored("in/a.png", "-o", "c.png", "--json").stdout)["pictures"]
    assert [entry["output"] for entry in told] == ["c.png"]
    changed = (formats.read(folder / "c.png").pixels != formats.read(folder / "in/a.png").pixels).any(axis=-1)
    assert changed[24:64, 16:64].any() and not changed[:24].any() and not changed[:, 64:].any()


def test_what_is_pixelated_into_a_file_has_its_areas_beside_it(folder):
    assert run(pixelate, "in/b.jpg", "-o", "hidden.png", *NAMED).exit_code == 0
    assert json.loads((folder / "hidden.png.areas.json").read_text()) == {"areas": [list(AREA)]}
    assert restored("hidden.png", "-o", "shown.webp").exit_code == 0
    assert formats.read(folder / "shown.webp").format == "WEBP"
    (folder / "hidden.png").unlink()
    result = run(pixelate, "in/b.jpg", "-o", "hidden.png", *NAMED)
    assert result.exit_code == 1 and "hidden.png.areas.json exists already" in result.stderr


def test_standard_input_may_become_a_file(folder):
    result = restored("-", "-o", "c.png", *NAMED, input=(folder / "in/a.png").read_bytes())
    assert result.exit_code == 0 and (folder / "c.png").is_file()


def test_what_is_only_read_may_become_a_png_by_its_name(folder):
    assert run(pixelate, "in/deep/c.avif", "-o", "c.png", *NAMED).exit_code == 0
    assert formats.read(folder / "c.png").format == "PNG"


def test_alpha_needs_a_format_that_has_it(folder):
    Image.open("in/a.png").convert("RGBA").save("alpha.png")
    result = restored("alpha.png", "-o", "c.jpg", *NAMED)
    assert result.exit_code == 1 and not (folder / "c.jpg").exists()
    assert "alpha.png: has alpha, which is not written in JPEG. Write it as PNG, TIFF or WebP" in result.stderr


def test_one_picture_may_go_to_the_clipboard(folder, monkeypatch):
    (folder / "bin").mkdir()
    (folder / "bin/xclip").write_text(f"#!/bin/sh\n/bin/cat > {folder}/copied\n")
    (folder / "bin/xclip").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    result = restored("in/a.png", "--copy")
    assert result.exit_code == 0, result.output
    assert result.stdout == "in/a.png: 16,24,48,40 in blocks of 8\nThe restored picture is on the clipboard.\n"
    assert json.loads(restored("in/a.png", "--copy", "--json").stdout)["pictures"][0]["output"] is None
    assert restored("in/a.png", "--copy", "-o", "c.png").exit_code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("copied")), np.asarray(Image.open("c.png")))
    assert restored("in/deep/c.avif", "--copy", "--ignore-check", *NAMED).exit_code == 0  # a format that is not written
    result = restored("in", "--copy")
    assert result.exit_code == 1 and "the clipboard takes one picture, and these are 3" in str(result.exception)
    monkeypatch.delenv("DISPLAY")
    result = restored("in/a.png", "--copy", "-o", "d.png")
    assert "there is no desktop here" in str(result.exception) and not (folder / "d.png").exists()


def test_without_an_output_the_command_says_what_to_type(folder):
    result = restored("in/a.png")
    assert result.exit_code == 2 and "Missing option '-o'. Name a file or a folder, such as" in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
@pytest.mark.slow
@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("answer", ["\n", "n\n"])
def test_at_a_terminal_restore_asks_whether_to_search(folder, answer):
    from tests.tools.terminal import in_terminal

    (folder / "in/a.png.areas.json").unlink()
    command = [sys.executable, "-m", "depixel.cli", "restore", "in/a.png", "-o", "c.png", "--model", "m.safetensors"]
    question = "No area is named. Search for pixelated areas? [Y/n]: "
    shown, code = in_terminal(command, folder, question, keys=answer, PYTHONPATH=str(REPOSITORY))
    assert question in shown
    if answer == "\n":
        assert code == 0 and "c.png: 16,24,48,40 in blocks of 8" in shown
    else:
        assert code == 1 and "in/a.png: no area is named. Search for pixelated areas: --auto" in shown
    assert (folder / "c.png").exists() == (answer == "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_no_picture_is_written_to_a_terminal(folder):
    import os
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "depixel.cli", "pixelate", "in/a.png", "-o", "-", *NAMED]
    done = subprocess.run(
        command, stdout=theirs, stderr=subprocess.PIPE, env={"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 1 and b"-o -: a picture would garble the terminal" in done.stderr


def test_pixels_under_alpha_0_are_told_when_areas_are_looked_for(folder):
    colors = np.asarray(Image.open("in/a.png"))
    alpha = np.full(colors.shape[:2], 255, np.uint8)
    alpha[80:, :40] = 0
    Image.fromarray(np.dstack([colors, alpha])).save("clear.png")
    result = restored("clear.png", "-o", "out", "--auto")
    assert result.exit_code == 0 and "clear.png: 1600 pixels under alpha 0 were not searched" in result.stderr
    alpha[:, :90] = 0  # the area, too
    Image.fromarray(np.dstack([colors, alpha])).save("clear.png")
    result = restored("clear.png", "-o", "other", "--auto")
    assert result.exit_code == 1 and "nothing looks pixelated" in result.stderr


def test_what_the_output_lacks_is_told(folder):
    data = (folder / "in/b.jpg").read_bytes()
    (folder / "phone.jpg").write_bytes(data + data)
    result = run(pixelate, "phone.jpg", "-o", "pix", *NAMED)
    assert result.exit_code == 0
    assert "phone.jpg: the file also holds another picture, which the output does not" in result.stderr
