import importlib.metadata
import io
import json
import os
import pickle
import re
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from PIL import Image

from depixel.base.layout import PRETRAINED
from depixel.challenge import test_sets, truth
from depixel.cli import main
from depixel.commands import models as known
from depixel.model import locations, networks
from depixel.model.pixelation import prepare_image
from depixel.model.predictor import ModelConfiguration, Predictor
from depixel.pictures import formats
from tests.conftest import REPOSITORY, run
from tests.scoring.test_scores import drawn


def depixel(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="depixel")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a test set, its targets, its submission by the identity, and an untrained model."""
    folder = tmp_path_factory.mktemp("cli")
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (2, 40, 48), dtype=np.uint8)
    areas = np.array([[3, 5, 20, 18, 6], [0, 0, 4, 4, 4], [16, 8, 32, 32, 16]])
    samples = [prepare_image(photos[None, i % 2], *area) for i, area in enumerate(areas)]
    images, masks, _ = zip(*samples, strict=True)
    (folder / "test_set.pkl").write_bytes(pickle.dumps({"pixelated_images": images, "known_arrays": masks}))
    np.savez(folder / "targets.npz", photos=photos, areas=areas)
    test_sets.write_submission(folder / "identity.bin", [p[~k] for p, k in zip(images, masks, strict=True)])
    configuration = ModelConfiguration(
        network="unet", width=8, size=64, area_width=(4, 32), area_height=(4, 32), block_size=(4, 16)
    )
    Predictor(networks.build("unet", 8, 0.0), configuration).save(folder / "model.safetensors")
    return folder


def test_help_is_quick_and_shows_examples():
    code = "import sys, depixel.cli; print(*{'numpy', 'torch', 'pandas', 'PIL', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
    for name in main.commands:
        assert re.search(f"Example:\n    depixel {name}\\b", depixel(name, "--help").output)


def test_the_overview_lists_each_command_once_in_a_section():
    overview = depixel("--help")
    assert overview.exit_code == 0
    assert re.findall(r"(?m)^(\w+):$", overview.output) == [
        *("Options", "Pictures", "Photos", "Experiments", "Challenge", "Project")
    ]
    listed = re.findall(r"(?m)^  ([a-z-]+)  +(.+)$", overview.output.partition("Pictures:")[2])
    assert [name for name, _ in listed] == [name for names in main.sections.values() for name in names]
    assert sorted(dict(listed)) == sorted(main.commands)
    for name, said in listed:
        first = main.commands[name].help.partition("\n\n")[0].replace("\n", " ")
        assert said == first, f"{name}: the first line of its help must be a sentence of at most 62 characters"


@pytest.mark.parametrize("arguments", [(), ("snapshot",), ("inspect",)])
def test_a_group_of_commands_alone_prints_its_help(arguments):
    alone = depixel(*arguments)
    assert alone.exit_code == 0 and alone.output == depixel(*arguments, "--help").output


def test_the_version_comes_with_the_models_that_are_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locations, "folders", lambda: (PRETRAINED,))
    monkeypatch.setattr(known, "folders", lambda: (PRETRAINED,))
    first, then = depixel("--version").output.splitlines()
    assert first == f"depixel, version {importlib.metadata.version('depixel')}"
    assert then == "published models: none are here; in a clone of the project, `dvc pull` fetches them"
    for name in ("laptop.safetensors", "laptop.onnx", "detector.onnx", "screen.onnx", "mine.safetensors"):
        (PRETRAINED / name).parent.mkdir(parents=True, exist_ok=True)
        (PRETRAINED / name).touch()
    (tmp_path / "models/depixel.safetensors").touch()
    assert depixel("--version").output.splitlines()[1:] == [
        "published models: laptop. The weights are under the MIT license. The photos they were trained on keep their "
        "own terms: see models/laptop.md",
        "your own models: models/depixel.safetensors, mine",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("restor", "a.png"), "No such command 'restor'. Did you mean 'restore'?"),
        (("snapshot", "pubish", "v1"), "No such command 'pubish'. Did you mean 'publish'?"),
        (("inspect", "filter"), "No such command 'filter'. Did you mean 'filters'?"),
        (("restore", "a.png", "--aera", "1,2,3,4"), "No such option '--aera'. Did you mean '--area'?"),
        (("whatever",), "No such command 'whatever'.\n"),
    ],
)
def test_a_misspelt_command_or_option_gets_a_suggestion(arguments, said):
    result = depixel(*arguments)
    assert result.exit_code == 2 and said in result.output
    assert result.output.count("Did you mean") == said.count("Did you mean")


@pytest.mark.parametrize(
    ("arguments", "name", "meant"),
    [
        (("restore", "docs/photo.png", "-o", "never.png", "--auto", "--model", "Laptob"), "Laptob", "laptop"),
        (("export-model", "leptop", "-o", "never.onnx"), "leptop", "laptop"),
        (("fetch", "imagenete", "--to", "never"), "imagenete", "imagenette"),
        (("preset", "laptob"), "laptob", "laptop"),
        (("diff", "v11"), "v11", "v1"),
        (("snapshot", "use", "v11"), "v11", "v1"),
        (("compare", "mian"), "mian", "main"),
        (("record", "mian"), "mian", "main"),
        (("sweep", "x", "-S", "train.widht=8,16"), "train.widht", "width"),
        (("sweep", "x", "-S", "trian.width=8,16"), "trian", "train"),
        (("sweep", "x", "-S", "train.optimizer=adamm,sgd"), "adamm", "adam"),
        (("sweep", "x", "-S", "train.network=unett,unet"), "unett", "unet"),
    ],
)
def test_a_misspelt_name_gets_a_suggestion(place, monkeypatch, arguments, name, meant):
    monkeypatch.chdir(place)
    result = depixel(*arguments)
    assert result.exit_code == 1, result.output
    assert name in result.output and f"Did you mean '{meant}'?" in result.output
    assert not list(place.glob("never*"))


def test_predict_check_and_score(folder, tmp_path):
    submission = tmp_path / "answer.bin"
    result = depixel("predict", folder / "test_set.pkl", "-o", submission, "--model", folder / "model.safetensors")
    assert result.exit_code == 0 and "3 predictions, 1400 pixels" in result.output
    assert [len(p) for p in test_sets.read_submission(submission)] == [20 * 18, 4 * 4, 32 * 32]
    result = depixel("check", submission, folder / "test_set.pkl")
    assert result.exit_code == 0 and "A server would accept it" in result.output
    result = depixel("score", submission, folder)
    assert result.exit_code == 0 and "ratio to identity" in result.output


def test_predict_overwrites_when_told_to(folder, tmp_path):
    submission = tmp_path / "answer.bin"
    submission.write_bytes(b"earlier")
    command = ["predict", folder / "test_set.pkl", "-o", submission, "--model", folder / "model.safetensors"]
    result = depixel(*command)
    assert result.exit_code == 1 and "--force" in result.output
    assert submission.read_bytes() == b"earlier"
    assert depixel(*command, "--force").exit_code == 0
    assert len(test_sets.read_submission(submission)) == 3


def test_predict_takes_a_name_or_several_models(folder, tmp_path, monkeypatch):
    configuration = Predictor.load(folder / "model.safetensors").configuration
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = networks.build("unet", 8)
        torch.nn.init.normal_(network.out.weight)
        Predictor(network, configuration).save(tmp_path / f"models/pretrained/m{seed}.safetensors")
    monkeypatch.chdir(tmp_path)
    answers = []
    for models in (["m0"], ["m1"], ["m0", "m1"], ["m0", "models/pretrained/m1.safetensors"]):
        named = [part for model in models for part in ("--model", model)]
        result = depixel("predict", folder / "test_set.pkl", "-o", "answer.bin", "--force", *named)
        assert result.exit_code == 0, result.output
        answers.append((tmp_path / "answer.bin").read_bytes())
    assert len(set(answers)) == 3 and answers[2] == answers[3]
    result = depixel("predict", folder / "test_set.pkl", "-o", "no.bin", "--model", "m2")
    assert result.exit_code == 1 and "m2: there is no model of this name. There are " in result.output
    assert "m0, m1" in result.output


@pytest.mark.parametrize("onto", ["interval", "center"])
def test_predict_projects_as_told(folder, tmp_path, onto):
    command = ["predict", folder / "test_set.pkl", "-o", tmp_path / "answer.bin", "--projection", onto]
    assert depixel(*command, "--model", folder / "model.safetensors").exit_code == 0
    model, samples = Predictor.load(folder / "model.safetensors"), test_sets.read_test_set(folder / "test_set.pkl")
    expected = model.predict(samples.pixelated, test_sets.areas(samples.known), 8, projection=onto)
    for one, other in zip(test_sets.read_submission(tmp_path / "answer.bin"), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("test_set", "model"), [("targets.npz", "model.safetensors"), ("test_set.pkl", "no.safetensors")]
)
def test_predict_writes_nothing_from_bad_input(folder, tmp_path, test_set, model):
    result = depixel("predict", folder / test_set, "-o", tmp_path / "answer.bin", "--model", folder / model)
    assert result.exit_code == 1 and result.output.startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_check_tells_what_a_server_would_not_take(folder, tmp_path):
    predictions = test_sets.read_submission(folder / "identity.bin")
    test_sets.write_submission(tmp_path / "short.bin", [predictions[0][1:], *predictions[1:]])
    result = depixel("check", tmp_path / "short.bin", folder / "test_set.pkl")
    assert result.exit_code == 1 and "would not accept it" in result.output
    assert "prediction 0 has 359 pixels, but 360 are unknown" in result.output


def test_score_of_the_identity(folder):
    result = depixel("score", folder / "identity.bin", folder / "targets.npz", "--json")
    scores = json.loads(result.output)
    assert list(scores) == ["rmse_pooled", "rmse_mean", "ratio_pooled", "ratio_mean"]
    assert scores["ratio_pooled"] == scores["ratio_mean"] == 1
    table = depixel("score", folder / "identity.bin", folder).output
    assert f"{scores['rmse_pooled']:.4f}" in table and f"{scores['rmse_mean']:.4f}" in table


def test_a_packed_submission_is_taken_and_told(shared, test_set):
    submission = shared / "field/14_submission_bz2.bin"
    result = depixel("check", submission, test_set / "test_set.pkl")
    assert result.exit_code == 0 and "40 predictions" in result.stdout and "A server would accept it" in result.stdout
    assert "is compressed by bz2" in result.stderr and "in place" in result.stderr
    scores = json.loads(depixel("score", submission, test_set, "--json").output)
    assert 0 < scores["ratio_mean"] <= 1


def test_score_takes_the_true_pixels_alone(folder, tmp_path):
    targets, _ = truth.read(folder)
    test_sets.write_submission(tmp_path / "target.data", targets)
    result = depixel("score", folder / "identity.bin", tmp_path / "target.data")
    assert result.exit_code == 0 and "--test-set" in result.output and "ratio to identity " not in result.output
    known = json.loads(depixel("score", folder / "identity.bin", folder, "--json").output)
    alone = json.loads(depixel("score", folder / "identity.bin", tmp_path / "target.data", "--json").output)
    assert alone == {key: known[key] for key in ("rmse_pooled", "rmse_mean")}
    command = ["score", folder / "identity.bin", tmp_path / "target.data", "--test-set", folder / "test_set.pkl"]
    assert json.loads(depixel(*command, "--json").output) == known


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_on_a_terminal_predict_counts_pictures_and_tells_the_time_left(folder, tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    command = [sys.executable, "-m", "depixel.cli", "predict", folder / "test_set.pkl", "-o", tmp_path / "a.bin"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    with subprocess.Popen(
        [*command, "--model", folder / "model.safetensors"], stderr=theirs, stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the end of a pseudo-terminal
            while more := os.read(ours, 4096):
                shown += more
    os.close(ours)
    assert process.returncode == 0 and b" 3/3 " in shown and b"pictures/s" in shown


@pytest.mark.parametrize(
    "arguments", [("check", "no.bin", "no.pkl"), ("score", "no.bin", "."), ("predict", "no.pkl", "-o", "never.bin")]
)
def test_a_mistake_is_one_message(arguments):
    result = depixel(*arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert result.output.startswith("Error: no.") and "there is no such file" in result.output


def test_sample(tmp_path):
    command = ["sample", tmp_path / "raw", "--contributors", 1, "--photos", 2]
    assert depixel(*command).exit_code == 0
    assert len(list((tmp_path / "raw").iterdir())) == 1
    assert depixel(*command).exit_code == 1  # overwrites nothing


def test_sample_with_a_test_set(tmp_path):
    made = depixel("sample", tmp_path / "raw", "--contributors", 1, "--photos", 1, "--test-set", tmp_path / "hidden")
    assert made.exit_code == 0, made.output
    found = test_sets.read_test_set(tmp_path / "hidden" / "test_set.pkl")
    photos, areas = test_sets.read_targets(tmp_path / "hidden")
    assert found.pixelated.shape == photos.shape == (40, 64, 64)
    for i, area in enumerate(areas):
        pixelated, known, _ = prepare_image(photos[i][None], *map(int, area))
        assert (found.pixelated[i] == pixelated[0]).all() and (found.known[i] == known[0]).all()


def test_compare(tmp_path):
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    drawn(0).to_csv(a, index=False)
    drawn(0, share=0.3).iloc[:200].to_csv(b, index=False)
    result = depixel("compare", a, b)
    assert result.exit_code == 0, result.output
    heads, table, verdict = result.output.split("\n\n")
    assert heads == f"A: {a}\nB: {b}"
    rows = [re.sub(r"-?\d\.\d{4}", "R", " ".join(line.split())) for line in table.splitlines()]
    assert rows == ["model ratio_mean ratio_pooled", *(f"{name} R [R, R] R [R, R]" for name in ("A", "B", "B - A"))]
    assert verdict == (
        "A is better: the intervals of the difference lie above 0.\n"
        "Both have 200 samples of 60 photos, out of 240 samples of A and 200 of B.\n"
        "The brackets hold 95 % confidence intervals over the choice of test photos.\n"
    )
    result = json.loads(depixel("compare", a, b, "--json").output)
    assert list(result) == ["A", "B", "B - A", "samples", "photos", "verdict"]
    assert result["B - A"]["ratio_mean"] == pytest.approx(result["B"]["ratio_mean"] - result["A"]["ratio_mean"])
    assert depixel("compare", b, a).output.split("\n\n")[2].startswith("B is better")


def test_compare_and_seeds_tell_mistakes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = depixel("compare", "nowhere.csv")
    assert result.exit_code == 1 and result.output.startswith("Error: nowhere.csv: no such file")
    result = depixel("seeds", 3)
    assert result.exit_code == 1 and "Run from the project's folder" in result.output
    assert depixel("seeds", 1).exit_code == 2


# Pictures


@pytest.fixture
def pictures(tmp_path, jpeg):
    """in/a.png in colors, in/b.jpg turned on its side, in/c.tif gray of 16 bits."""
    (tmp_path / "in").mkdir()
    color = np.asarray(Image.open(io.BytesIO(jpeg(1, (120, 90)))))
    Image.fromarray(color).save(tmp_path / "in/a.png")
    turned = Image.Exif()
    turned[274] = 6
    (tmp_path / "in/b.jpg").write_bytes(jpeg(2, (120, 100), quality=97, subsampling=0, exif=turned))
    Image.fromarray(color[:, :, 1].astype(np.uint16) * 250).save(tmp_path / "in/c.tif")
    return tmp_path


def test_pixelate_and_restore(folder, pictures):
    result = depixel("pixelate", pictures / "in", "-o", pictures / "pix", "--area", "8,10,40,36", "--block", 6)
    assert result.exit_code == 0, result.output
    assert f"{pictures / 'pix/a.png'}: 8,10,40,36 in blocks of 6" in result.output
    command = ["restore", pictures / "pix", "-o", pictures / "out", "--model", folder / "model.safetensors"]
    sheet = pictures / "sheet.png"
    result = depixel(*command, "--compare", sheet, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert [entry["areas"] for entry in told["pictures"]] == [[[8, 10, 40, 36, 6]]] * 3 and told["failed"] == []
    for name in ("a.png", "b.jpg", "c.tif"):
        original, shown, made = (formats.read(pictures / where / name) for where in ("in", "pix", "out"))
        inside = np.zeros(original.pixels.shape[:2], bool)
        inside[10:46, 8:48] = True
        differ = np.abs(made.pixels.astype(int) - shown.pixels.astype(int))
        assert differ[inside].max() > 0
        assert differ[~inside].mean() < (1.5 if name == "b.jpg" else 1e-9)
        assert (made.orientation, made.pixels.dtype) == (original.orientation, original.pixels.dtype)
    with Image.open(sheet) as image:
        assert image.mode == "RGB" and image.width > 480 and image.height > 3 * 240


def test_a_picture_whose_areas_cannot_be_written_is_not_written(pictures):
    long = pictures / "in" / f"{'a' * 244}.png"  # and 11 characters more for the areas are too many
    (pictures / "in/a.png").rename(long)
    result = depixel("pixelate", long, "-o", pictures / "pix", "--area", "8,10,40,36", "--block", 6)
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert not (pictures / "pix").exists() or not list((pictures / "pix").iterdir())


def test_areas_may_be_named_and_block_sizes_found(folder, pictures):
    depixel("pixelate", pictures / "in/a.png", "-o", pictures / "pix", "--area", "8,10,42,36", "--block", 7)
    (pictures / "pix/a.png.areas.json").unlink()
    command = ["restore", pictures / "pix/a.png", "-o", pictures / "out", "--model", folder / "model.safetensors"]
    result = depixel(*command, "--area", "8,10,42,36")
    assert result.exit_code == 0 and "8,10,42,36 in blocks of 7" in result.output
    result = depixel(*command, "--area", "8,10,42,36", "--force", "--block", 8)
    assert result.exit_code == 1 and "shows blocks of 7 pixels, not of 8" in result.output
    result = depixel(*command, "--force")
    assert result.exit_code == 1 and "no area is named. Search for pixelated areas: --auto" in result.output
    result = depixel(*command, "--area", "80,10,42,36", "--force")
    assert result.exit_code == 1 and "not inside the picture, which is 120 pixels wide" in result.output
    result = depixel(*command, "--area", "60,40,32,32", "--force")
    assert result.exit_code == 1 and "does not look pixelated" in result.output
    for wrong in ("60,40,32", "60,40,32,32,8,1", "60,40,32,x"):
        result = depixel(*command, "--area", wrong)
        assert (
            result.exit_code == 2 and "four whole numbers of pixels with commas between; five or seven" in result.output
        )


def test_first_blocks_that_are_cut_off_may_be_named(folder, pictures):
    depixel("pixelate", pictures / "in/a.png", "-o", pictures / "pix", "--area", "8,10,42,36", "--block", 7)
    picture, original = (formats.read(pictures / where / "a.png") for where in ("pix", "in"))
    pixels = original.pixels.copy()
    pixels[12:46, 11:50] = picture.pixels[12:46, 11:50]
    formats.write(pictures / "pix/a.png", picture.showing(pixels))
    command = ["restore", pictures / "pix/a.png", "-o", pictures / "out", "--model", folder / "model.safetensors"]
    result = depixel(*command, "--area", "11,12,39,34,7,3,2")
    assert result.exit_code == 0 and "11,12,39,34,7,3,2 (blocks of 7, the first ones cut off)" in result.output
    first = formats.read(pictures / "out/a.png").pixels
    (pictures / "pix/a.png.areas.json").write_text('{"areas": [[11, 12, 39, 34, 7, 3, 2]]}')
    result = depixel(*command, "--force", "--json")
    assert json.loads(result.output)["pictures"][0]["areas"] == [[11, 12, 39, 34, 7, 3, 2]]
    np.testing.assert_array_equal(formats.read(pictures / "out/a.png").pixels, first)
    result = depixel(*command, "--force", "--auto")
    assert result.exit_code == 0 and "11,12,39,34,7,3,2 (blocks" in result.output
    result = depixel(*command, "--force", "--area", "11,12,39,34,7,3,2", "--block", 9)
    assert result.exit_code == 1 and "shows blocks of 7 pixels, not of 9" in result.output


def test_one_bad_picture_does_not_stop_the_rest(folder, pictures):
    depixel("pixelate", pictures / "in", "-o", pictures / "pix", "--area", "8,10,40,36", "--block", 6)
    (pictures / "pix/b.jpg").write_bytes((pictures / "pix/b.jpg").read_bytes()[:900])
    command = ["restore", pictures / "pix", "-o", pictures / "out", "--model", folder / "model.safetensors"]
    result = depixel(*command)
    assert result.exit_code == 1
    assert f"Error: {pictures / 'pix/b.jpg'}: the file is damaged" in result.output
    assert sorted(path.name for path in (pictures / "out").iterdir()) == ["a.png", "c.tif"]
    result = depixel(*command, "--json")
    assert result.exit_code == 1
    failed = json.loads(result.stdout)["failed"]
    assert len(failed) == 3 and sum("exists already" in entry["problem"] for entry in failed) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_on_a_terminal_a_bar_counts_pictures_and_leaves_lines_whole(folder, pictures):
    import fcntl
    import pty
    import struct
    import termios

    depixel("pixelate", pictures / "in", "-o", pictures / "pix", "--area", "8,10,40,36", "--block", 6)
    command = [sys.executable, "-m", "depixel.cli", "restore", pictures / "pix", "-o", pictures / "out"]
    command += ["--model", folder / "model.safetensors"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, cwd=REPOSITORY, text=True) as process:
        os.close(theirs)
        told, shown = process.stdout.read(), b""
        with suppress(OSError):  # the end of a pseudo-terminal
            while more := os.read(ours, 4096):
                shown += more
    os.close(ours)
    assert process.returncode == 0 and " 3/3 " in shown.decode() and "pictures" in shown.decode()
    places = [f"{pictures / 'out' / name}: 8,10,40,36 in blocks of 6" for name in ("a.png", "b.jpg", "c.tif")]
    assert told.splitlines() == places


def test_the_sheet_never_takes_the_place_of_a_picture(folder, pictures):
    command = [
        "restore",
        pictures / "in/a.png",
        "-o",
        pictures / "out",
        "--area",
        "8,10,40,36",
        "--block",
        6,
        "--force",
    ]
    before = (pictures / "in/a.png").read_bytes()
    for sheet in (pictures / "out/a.png", pictures / "in/a.png"):
        result = depixel(*command, "--compare", sheet, "--model", folder / "model.safetensors")
        assert result.exit_code == 1 and "is one of the pictures" in result.output
    assert not (pictures / "out").exists() and (pictures / "in/a.png").read_bytes() == before


def test_names_of_models_and_files_complete(tmp_path, monkeypatch):
    (tmp_path / "models/pretrained").mkdir(parents=True)
    (tmp_path / "models/pretrained/mine.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    complete = ShellComplete(main, {}, "depixel", "_DEPIXEL_COMPLETE")
    assert [item.value for item in complete.get_completions(["restore", "--model"], "mi")] == ["mine", "mi"]
    assert [item.type for item in complete.get_completions(["restore"], "pho")] == ["file"]


def test_a_wrong_model_is_told_before_anything_is_written(folder, pictures):
    for model, problem in (
        ("no_such", "no_such: there is no model of this name. There are "),
        (folder / "targets.npz", "targets.npz: not a model"),
    ):
        result = depixel("restore", pictures / "in", "-o", pictures / "out", "--area", "0,0,9,9", "--model", model)
        assert result.exit_code == 1 and problem in result.output
    assert not (pictures / "out").exists()


def test_pictures_are_not_overwritten_unasked(folder, pictures):
    command = ["pixelate", pictures / "in/a.png", "-o", pictures / "pix", "--area", "8,10,40,36", "--block", 6]
    assert depixel(*command).exit_code == 0
    before = (pictures / "pix/a.png").read_bytes()
    result = depixel(*command[:-1], 9)
    assert result.exit_code == 1 and "exists already" in result.output and "--force" in result.output
    assert (pictures / "pix/a.png").read_bytes() == before
    assert depixel(*command[:-1], 9, "--force").exit_code == 0
    assert json.loads((pictures / "pix/a.png.areas.json").read_text()) == {"areas": [[8, 10, 40, 36, 9]]}
    sheet = pictures / "in/c.tif"
    result = depixel("restore", pictures / "pix", "-o", pictures / "out", "--compare", sheet)
    assert result.exit_code == 1 and "c.tif: exists already" in result.output


def test_an_output_that_cannot_be_written_is_told(folder, pictures):
    (pictures / "pix").mkdir()
    (pictures / "pix/deep").symlink_to("/proc/no")  # where nobody can write, root neither
    (pictures / "in/deep").mkdir()
    (pictures / "in/a.png").rename(pictures / "in/deep/a.png")
    result = depixel("pixelate", pictures / "in", "-o", pictures / "pix", "--area", "8,10,40,36", "--block", 6)
    assert result.exit_code == 1 and "leads out of the folder" in result.output
    result = depixel("pixelate", pictures / "in/b.jpg", "-o", "/proc/no", "--area", "8,10,40,36", "--block", 6)
    assert result.exit_code == 1 and "cannot be written" in result.output


HELPS = """
import importlib, json, click, depixel.cli
def helps(name, command):
    told[name] = command.get_help(click.Context(command, info_name=name))
    for below, one in (command.commands.items() if isinstance(command, click.Group) else ()):
        helps(f"{name} {below}", one)
told = {}
helps("depixel", depixel.cli.main)
for stage in ("settings", "validate", "prepare", "split", "analyze", "train", "evaluate", "card", "export"):
    helps(stage, importlib.import_module(f"stages.{stage}").main)
print(json.dumps(told))
"""


def test_help_stays_where_python_drops_docstrings():
    told, dropped = (json.loads(run("python", *flags, "-c", HELPS, cwd=REPOSITORY).stdout) for flags in ((), ("-OO",)))
    assert len(told) > 40 and all("Example" in text for name, text in told.items() if name != "depixel")
    assert dropped == told
    shown = run("python", "-OO", "-m", "depixel.cli", "--help", cwd=REPOSITORY).stdout
    assert "Restore pixelated areas of pictures, and train" in shown and "Pixelate areas of pictures." in shown
