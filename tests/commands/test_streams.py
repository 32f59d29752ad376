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
    assert "in/b.jpg: copied as it is: in/b.jpg: where is it pixelated?" in result.stderr
    for name in ("b.jpg", "deep/c.avif"):
        assert (folder / "out" / name).read_bytes() == (folder / "in" / name).read_bytes()
    assert (folder / "out/a.png").read_bytes() != (folder / "in/a.png").read_bytes()
    told = json.loads(restored("in", "-o", "out", "--force", "--json").stdout)
    assert [len(entry["areas"]) for entry in told["pictures"]] == [1, 0, 0] and not told["failed"]
    assert "copied as it is" in told["pictures"][1]["notes"][0]


def test_what_is_named_must_have_an_area_and_so_must_one_of_a_folder(folder):
    result = restored("in/a.png", "in/b.jpg", "-o", "out")
    assert result.exit_code == 1 and "in/b.jpg: where is it pixelated?" in result.stderr
    assert [path.name for path in (folder / "out").iterdir()] == ["a.png"]
    (folder / "in/a.png.areas.json").unlink()
    result = restored("in", "-o", "other")
    assert result.exit_code == 1 and result.stderr.count("where is it pixelated?") == 3
    assert not (folder / "other").exists()


@pytest.mark.usefixtures("detector")
def test_where_nothing_is_found_in_a_folder_pictures_are_copied(folder):
    result = restored("in", "-o", "out", "--auto", "--format", "png")
    assert result.exit_code == 0, result.output
    assert "out/a.png: 16,24,48,40 in blocks of 8" in result.stdout
    assert "in/b.jpg: copied as it is: in/b.jpg: no pixelated area is found for certain" in result.stderr
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
        (["-", "-o", "out"], "-: a picture from standard input has no name for a file in out"),
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
    assert result.exit_code == 1 and "-: where is it pixelated? Say so with --area" in result.stderr


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
    assert result.exit_code == 1 and "no pixelated area is found for certain" in result.stderr


def test_what_the_output_lacks_is_told(folder):
    data = (folder / "in/b.jpg").read_bytes()
    (folder / "phone.jpg").write_bytes(data + data)
    result = run(pixelate, "phone.jpg", "-o", "pix", *NAMED)
    assert result.exit_code == 0
    assert "phone.jpg: the file also holds another picture, which the output does not" in result.stderr
