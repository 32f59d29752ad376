"""The data stages, run as a person runs them."""

import bisect
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from PIL import Image

from depixel.base import reuse
from depixel.base.files import hash_of
from depixel.photos import archives, preparation, rules
from stages.settings import main as settings_stage
from tests.conftest import REPOSITORY, SMALL, tiny_model
from tests.conftest import run as run_command

PARAMS = "prepare: {size: 32}\nsplit: {by: contributor, seed: 0, validation: 0.3, test: 0.3}\n"


def command(stage: str, *options: object) -> list[str]:
    return [sys.executable, str(REPOSITORY / "stages" / f"{stage}.py"), *map(str, options)]


def run(stage: str, *options: object, cwd: Path, **others) -> subprocess.CompletedProcess:
    """Run a stage; `others` are options of `subprocess.run`."""
    line = command(stage, *options)
    if not others:
        return run_command("python", *line[1:], cwd=cwd, code=None)
    return subprocess.run(line, cwd=cwd, capture_output=True, encoding="utf-8", **{"timeout": 120} | others)


def succeed(stage: str, *options: object, cwd: Path) -> str:
    done = run(stage, *options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fail(stage: str, *options: object, cwd: Path, **others) -> str:
    done = run(stage, *options, cwd=cwd, **others)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("Error: ") and "Traceback" not in done.stderr
    return done.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def project(raw, tmp_path) -> Path:
    """A folder with photos in data/raw and a params.yaml."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    raw.rename(folder / "data" / "raw")
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    """Where the outputs of the three stages are kept once a test has needed them."""
    return tmp_path_factory.mktemp("outputs") / "project"


@pytest.fixture
def whole(project, outputs) -> dict[str, bytes]:
    """What the three stages made of the photos in `project`, which is there. It is computed once for all tests."""
    if not outputs.exists():
        stages(project)
        shutil.copytree(project, outputs, ignore=shutil.ignore_patterns("raw"))
    shutil.copytree(outputs, project, dirs_exist_ok=True)
    return made_in(project)


@pytest.mark.parametrize("stage", ["validate", "prepare", "split"])
def test_help_teaches(stage, tmp_path):
    text = succeed(stage, "--help", cwd=tmp_path)
    for word in ("Writes", "Example", f"python stages/{stage}.py"):
        assert word in text


def test_three_stages_from_photos_to_a_split(project):
    assert succeed("validate", cwd=project).startswith("61 of 62 files from 11 contributors are valid.")
    assert succeed("prepare", cwd=project) == "data/prepared: 61 prepared photos.\n"
    assert succeed("split", cwd=project).startswith("train: ")
    assert sorted(set(files(project)) - {"params.yaml"} - {f"data/raw/k{c:08}.zip" for c in range(10)}) == [
        "data/copies.csv",
        "data/prepared/hashes.npy",
        "data/prepared/images.npy",
        "data/prepared/index.csv",
        "data/prepared/made_by.json",
        "data/raw/loose/deep/photo.jpeg",
        "data/raw/loose/notes.txt",
        "data/split.csv",
        "data/split.made_by.json",
        "data/validated/invalid.log",
        "data/validated/made_by.json",
        "data/validated/manifest.csv",
        "metrics/copies.png",
        "metrics/split.json",
        "metrics/validation.json",
    ]
    made = {
        name: (project / "data" / name).read_text(encoding="utf-8").splitlines()
        for name in ("validated/manifest.csv", "validated/invalid.log", "prepared/index.csv", "split.csv")
    }
    assert (
        made["validated/manifest.csv"][0] == "contributor,name,bytes,sha256,width,height,mode,orientation,code,reason"
    )
    assert made["validated/invalid.log"] == ["loose/notes.txt,1"]
    assert made["prepared/index.csv"][0] == "contributor,name,sha256"
    assert made["split.csv"][0] == "contributor,name,sha256,split"
    assert [len(lines) for lines in made.values()] == [63, 1, 62, 62]
    assert np.load(project / "data/prepared/images.npy").shape == (61, 32, 32)
    assert json.loads((project / "metrics/validation.json").read_bytes())["valid"] == 61
    sides = json.loads((project / "metrics/split.json").read_bytes())
    assert sum(count["photos"] for count in sides.values()) == 61


def test_the_number_of_workers_changes_no_byte(project):
    made = []
    for workers in (1, 2):
        succeed("validate", "--workers", workers, cwd=project)
        succeed("prepare", "--workers", workers, cwd=project)
        made.append(files(project))
    assert made[0] == made[1]


# What is known of unchanged photos is used again


def stages(cwd: Path) -> dict[str, bytes]:
    for stage in ("validate", "prepare", "split"):
        succeed(stage, cwd=cwd)
    return made_in(cwd)


def made_in(cwd: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(cwd).items() if not name.startswith("data/raw")}


def from_nothing(cwd: Path) -> dict[str, bytes]:
    for folder in ("data/validated", "data/prepared", "metrics"):
        shutil.rmtree(cwd / folder)
    for path in cwd.glob("data/*.*"):
        path.unlink()
    return stages(cwd)


def change_photos(raw: Path) -> None:
    """One ZIP gone, one renamed, one more, a photo of one replaced by a copy of another, one no photo any more."""
    first, second, third, *_ = sorted(raw.glob("*.zip"))
    first.unlink()
    second.rename(raw / "zz.zip")
    with zipfile.ZipFile(third) as archive:
        members = [(member, archive.read(member)) for member in archive.namelist()]
    with zipfile.ZipFile(raw / "new.zip", "w") as archive:
        for i, (_, content) in enumerate(members):
            archive.writestr(f"{i}.jpg", content[:2] + b"\xff\xfe\x00\x03n" + content[2:])
    with zipfile.ZipFile(third, "w") as archive:
        for i, (name, content) in enumerate(members):
            archive.writestr(name, members[1][1] if i == 0 else content)
    loose = raw / "loose/deep/photo.jpeg"
    loose.write_bytes(b"x" * loose.stat().st_size)


def test_a_change_gives_byte_for_byte_what_a_run_from_nothing_gives(project, whole):
    change_photos(project / "data/raw")
    changed = stages(project)
    assert changed["data/prepared/images.npy"] != whole["data/prepared/images.npy"]
    assert from_nothing(project) == changed


def test_only_what_is_new_is_decoded(project, whole, monkeypatch):
    decoded = []
    for module in (rules.decoding, preparation):
        name = "opened" if module is rules.decoding else "decode"
        true = getattr(module, name)
        monkeypatch.setattr(module, name, lambda data, true=true: decoded.append(data) or true(data))
    monkeypatch.setattr(rules, "each", lambda work, items, *_: map(work, items))
    monkeypatch.setattr(preparation, "each", lambda work, items, *_: map(work, items))
    data = project / "data"

    def again():
        decoded.clear()
        entries = archives.Entries(data / "raw")
        verdicts = list(rules.validate(entries, None, rules.known_verdicts(data / "validated")))
        photos = list(rules.valid_entries(entries, verdicts))
        preparation.prepare(photos, len(photos), data / "prepared", preparation.PrepareSettings(size=32))
        return len(decoded)

    assert again() == 0
    (data / "raw/loose/copy.jpg").write_bytes((data / "raw/loose/deep/photo.jpeg").read_bytes() + b"more")
    assert again() == 3  # validated; prepared, which opens it too
    assert again() == 1  # validated, as no manifest was written here


@pytest.mark.parametrize(
    "name",
    ["validated/manifest.csv", "prepared/images.npy", "prepared/hashes.npy", "prepared/index.csv", "copies.csv"],
)
def test_what_was_damaged_is_made_anew(project, whole, name):
    path = project / "data" / name
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert stages(project) == whole


@pytest.mark.parametrize("name", ["validated", "prepared"])
def test_what_others_made_is_made_anew(project, whole, name):
    """As if by other code, with values that this code would not have found."""
    folder = project / "data" / name
    table = folder / ("manifest.csv" if name == "validated" else "index.csv")
    table.write_text(table.read_text(encoding="utf-8").replace(",RGB,", ",L,"), encoding="utf-8")
    reuse.write_record(
        folder / reuse.RECORD, "others", {path.name: hash_of(path, "sha256") for path in folder.iterdir()}
    )
    assert stages(project) == whole


def test_another_size_is_prepared_anew(project, whole):
    (project / "params.yaml").write_text(PARAMS.replace("size: 32", "size: 40"), encoding="utf-8")
    changed = stages(project)
    assert from_nothing(project) == changed


def test_messy_inputs_get_the_expected_verdicts(shared, tmp_path):
    messy = shared / "messy"
    expected = list(csv.DictReader((messy / "expected.csv").read_text(encoding="utf-8").splitlines()))
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    succeed("validate", "--raw", messy, cwd=home)
    assert sorted(files(tmp_path)) == [
        "a/b/data/validated/invalid.log",
        "a/b/data/validated/made_by.json",
        "a/b/data/validated/manifest.csv",
        "a/b/metrics/validation.json",
    ]
    manifest = (home / "data/validated/manifest.csv").read_text(encoding="utf-8")
    rows = {f"{row['contributor']}/{row['name']}": row for row in csv.DictReader(manifest.splitlines())}
    for line in expected:
        path = line["input"].replace(".zip!", "/").removesuffix("*")
        path = path.replace(".zip", "/") if path.count("/") == 0 else path
        row = rows[path + "IMG_01.jpg" * line["input"].endswith("*")]
        assert row["code"] == (line["code"] or "3"), line
        assert bool(row["reason"]) == (row["code"] != "0"), line
    assert rows["k00000003/IMG_03.jpg"]["reason"] == rows["k00000001/IMG_03.jpg"]["reason"]  # the others are read
    log = (home / "data/validated/invalid.log").read_text(encoding="utf-8").splitlines()
    assert "k00000004,3" in log and "k00000002/../../escape.jpg,3" in log
    assert len(log) == sum(row["code"] != "0" for row in rows.values())


def test_classic_copies(project, jpeg):
    (project / "valid").mkdir()
    succeed("validate", "--copy-to", "valid", cwd=project)
    copies = files(project / "valid")
    assert sorted(copies) == [f"{i:07}.jpg" for i in range(61)]
    assert copies["0000007.jpg"] == jpeg(101)
    assert copies["0000060.jpg"] == (project / "data/raw/loose/deep/photo.jpeg").read_bytes()
    before = files(project)
    assert "new or an empty folder" in fail("validate", "--copy-to", "valid", cwd=project)
    assert files(project) == before
    succeed("validate", "--copy-to", "other", "--name-format", "d", cwd=project)
    assert sorted(files(project / "other")) == sorted(f"{i}.jpg" for i in range(61))


def test_nothing_valid_changes_nothing(project, whole):
    for path in (project / "data/raw").glob("*.zip"):
        path.unlink()
    (project / "data/raw/loose/deep/photo.jpeg").unlink()
    before = files(project)
    assert "1 x the name does not end in .jpg" in fail("validate", cwd=project)
    assert files(project) == before


def test_mistakes_are_told_in_one_message(project, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "dvc pull" in fail("validate", cwd=empty)
    assert "params.yaml" in fail("prepare", cwd=empty)
    assert "stages/validate.py" in fail("prepare", cwd=project)
    assert "stages/prepare.py" in fail("split", cwd=project)
    succeed("validate", cwd=project)
    (project / "data/raw/loose/notes.txt").unlink()
    assert "have changed since their validation" in fail("prepare", cwd=project)
    (project / "params.yaml").write_text("prepare: {side: 64}", encoding="utf-8")
    assert "unknown key prepare.side" in fail("prepare", cwd=project)
    assert files(empty) == {}


def test_an_empty_side_leaves_the_earlier_split(project, whole):
    before = files(project / "data")
    (project / "params.yaml").write_text("split: {test: 0.0001}", encoding="utf-8")
    assert "split.by: photo" in fail("split", cwd=project)
    assert files(project / "data") == before


def test_what_a_killed_run_left_is_not_in_the_outputs(project, whole):
    before = files(project / "data")
    (project / "data" / ".validated.new").mkdir()
    (project / "data" / ".validated.new" / "manifest.csv").touch()
    succeed("validate", cwd=project)
    assert files(project / "data") == before


CRASHING = """
import os, signal, sys
sys.path.insert(0, sys.argv.pop(1))
from depixel.photos import decoding
from stages.validate import main
scan = decoding.scan
def crashing_scan(image):
    if image.size == (111, 222):
        os.kill(os.getpid(), signal.SIGSEGV)
    scan(image)
decoding.scan = crashing_scan
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="workers that are forked")
def test_a_photo_that_crashes_the_decoder_is_unreadable_and_the_others_are_read(project, jpeg, write_zip):
    photos = {f"{i}.jpg": jpeg(i, (111, 222) if i == 3 else (140, 110)) for i in range(20)}
    write_zip(project / "data/raw/k00000001.zip", photos)
    succeed("validate", cwd=project)
    expected = (project / "data/validated/manifest.csv").read_text(encoding="utf-8").splitlines()
    (row,) = (i for i, line in enumerate(expected) if line.startswith("k00000001,3.jpg,"))
    size = expected[row].split(",")[2]
    expected[row] = f"k00000001,3.jpg,{size},,,,,,3,decoding it crashed (SIGSEGV)"
    for workers in (1, 2):
        shutil.rmtree(project / "data/validated")  # or what is known would be taken
        line = [sys.executable, "-c", CRASHING, REPOSITORY, "--workers", str(workers)]
        subprocess.run(line, cwd=project, check=True, capture_output=True, timeout=120)
        assert (project / "data/validated/manifest.csv").read_text(encoding="utf-8").splitlines() == expected


@pytest.fixture
def large() -> bytes:
    """A JPEG of 40 megapixels; to look at it takes a decoder 120 MB, to decode it 280 MB."""
    image = Image.new("RGB", (8000, 5000), "gray")
    image.paste("white", (0, 0, 400, 400))
    file = io.BytesIO()
    image.save(file, "JPEG", progressive=True)
    return file.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory")
def test_want_of_memory_is_no_verdict_and_no_result(project, large):
    import resource  # not on Windows

    def limited(megabytes: int) -> dict:
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (megabytes * 10**6,) * 2)

        return {"preexec_fn": limit, "env": {**os.environ, "OPENBLAS_NUM_THREADS": "1"}}

    def enough(stage: str, *options: object) -> dict:
        """A limit that is enough for small photos, by less than 40 MB."""

        def does(few: dict) -> bool:
            try:
                return run(stage, *options, cwd=project, timeout=15, **few).returncode == 0
            except subprocess.TimeoutExpired:  # OpenBLAS waits for memory while it is loaded
                return False

        limits = [limited(megabytes) for megabytes in range(120, 4000, 40)]
        return limits[bisect.bisect_left(limits, True, key=does)]

    few, few_to_prepare = enough("validate", "--workers", 2), enough("prepare")
    (project / "data/raw/large.jpg").write_bytes(large)
    before = files(project)
    for workers in (1, 2):
        assert "out of memory. Use --workers 1" in fail("validate", "--workers", workers, cwd=project, **few)
        assert files(project) == before
    assert succeed("validate", cwd=project).startswith("62 of 63 files")
    before = files(project)
    assert "out of memory. Use --workers 1" in fail("prepare", cwd=project, **few_to_prepare)
    assert files(project) == before
    succeed("prepare", cwd=project)


@pytest.fixture
def slow(project, jpeg, write_zip) -> subprocess.Popen:
    """The stage validate, running in `project`, with two workers that have begun and will need seconds."""
    photo = jpeg(1, (2000, 1500), progressive=True)
    for c in range(3):
        numbered = (b"\xff\xd8\xff\xfe\0\6%04d" % (200 * c + i) + photo[2:] for i in range(200))  # as a comment
        members = {f"{i}.jpg": content for i, content in enumerate(numbered)}
        write_zip(project / f"data/raw/k{c:08}.zip", members, zipfile.ZIP_STORED)
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with psutil.Popen(command("validate", "--workers", 2), cwd=project, encoding="utf-8", **pipes) as stage:
        while len(stage.children()) < 2:
            assert stage.poll() is None
            time.sleep(0.01)
        yield stage
        if stage.poll() is None:
            stage.kill()


def test_an_archive_that_is_replaced_meanwhile_fails_the_stage(project, slow, write_zip, jpeg):
    write_zip(project / "new.zip", {"a.jpg": jpeg(1)}).replace(project / "data/raw/k00000002.zip")
    _, told = slow.communicate(timeout=120)
    assert slow.returncode == 1
    assert told.startswith("Error: data/raw/k00000002.zip: changed while this stage ran")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_no_process_outlives_the_stage(project, slow):
    workers = slow.children()
    slow.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    assert not (project / "data/validated").exists()


def test_a_wrong_setting_says_how_to_take_back_what_an_experiment_left(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("train: {epochs: 3}\n", encoding="utf-8")
    run_command("git", "init", "--quiet", cwd=tmp_path)
    run_command("git", "add", "--all", cwd=tmp_path)
    run_command("git", "commit", "--quiet", "--message=start", cwd=tmp_path)
    wrong = "train: {epochs: many}\n"
    params.write_text(wrong, encoding="utf-8")
    done = run("settings", cwd=tmp_path)
    assert done.returncode == 1 and "train.epochs = 'many'" in done.stderr
    assert done.stderr.endswith("discard all its changes: `touch params.yaml && git checkout params.yaml`\n")
    queued = tmp_path / ".dvc/tmp/exps/one"  # where an experiment of the queue runs
    queued.mkdir(parents=True)
    (queued / "params.yaml").write_text(wrong, encoding="utf-8")
    assert "git checkout" not in run("settings", cwd=queued).stderr
    run_command("git", "commit", "--quiet", "--all", "--message=wrong", cwd=tmp_path)
    assert "git checkout" not in run("settings", cwd=tmp_path).stderr
    shutil.rmtree(tmp_path / ".git")
    assert (
        run("settings", cwd=tmp_path).stderr
        == "Error: params.yaml: " + done.stderr.split(": ", 2)[2].splitlines()[0] + "\n"
    )


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ({"init": "pretrained"}, None),
        (
            {"init": "pretrained", "activation": "gelu"},
            "train.activation = 'gelu', but the model that train.init starts from has",
        ),
        ({"init": "pretrained", "network": "basic_cnn"}, "has no model with network basic_cnn"),
        ({"teacher": "tiny"}, "pixelation.width = [4, 40], but train.teacher was trained on [4, 32]"),
        ({"teacher": "tiny", "overfit": 4}, None),  # without its teacher
        ({"teacher": "tinny"}, "train.teacher = 'tinny': models/pretrained has no such model"),
    ],
)
def test_a_pretrained_model_that_does_not_fit_is_found_before_all_stages(tmp_path, monkeypatch, train, told):
    monkeypatch.chdir(tmp_path)
    content = {
        "train": {"width": SMALL["width"]} | train,
        "pixelation": {"width": [4, 40]},
        "export": {"test_set": "x.pkl"},
    }
    Path("params.yaml").write_text(json.dumps(content), encoding="utf-8")
    assert CliRunner().invoke(settings_stage, []).exit_code == 0  # without models, the training says how to get them
    tiny_model().save("models/pretrained/tiny.safetensors")
    done = CliRunner().invoke(settings_stage, [])
    assert done.exit_code == bool(told) and (told or "") in done.output, done.output
