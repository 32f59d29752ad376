"""What is planted among photos is found, by the function, by the stage and by the command; and nothing else."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from depixel.analysis import outputs, overview
from depixel.base.errors import DepixelError
from depixel.cli import main
from depixel.curation import synthetic
from depixel.dataset import prepared
from depixel.photos import near_duplicates
from depixel.photos.decoding import decode, square
from depixel.photos.hashes import hashes
from depixel.photos.near_duplicates import Copy, Pair
from tests.analysis.tables import SETTINGS, made
from tests.conftest import run

# Copies


@pytest.fixture(scope="module")
def images():
    return np.stack([square(decode(synthetic.photo(3, c, i)), 64) for c in range(6) for i in range(4)])


@pytest.mark.parametrize("workers", [1, 2])
def test_copies_on_the_same_side_are_found(images, workers, monkeypatch):
    monkeypatch.setattr(near_duplicates, "BLOCK", 5)
    codes = [hashes(image) for image in images]
    already = overview.pairs(images, np.stack(codes), np.full(len(images), "train"), 1)
    images = np.concatenate([images, images[2:3], images[9:10, :, ::-1]])
    codes = np.stack([*codes, hashes(images[-2]), hashes(np.ascontiguousarray(images[-1]))])
    sides = np.array(["train"] * 24 + ["train", "train"])
    found = overview.pairs(images, codes, sides, workers)
    assert {pair[:2] for pair in found} - {pair[:2] for pair in already} >= {(2, 24), (9, 25)}
    assert all(first < second for first, second, _ in found) and len({p[:2] for p in found}) == len(found)
    sides[24], sides[9] = "test", "validation"
    apart = overview.pairs(images, codes, sides, workers)
    assert not {(2, 24), (9, 25)} & {pair[:2] for pair in apart}


def test_copies_of_copies_have_one_first():
    assert overview.first_copies(6, [Pair(1, 4, 0.9), Pair(4, 5, 0.9)]).tolist() == [0, 1, 2, 3, 1, 1]
    assert overview.first_copies(3, []).tolist() == [0, 1, 2]


def test_many_photos_are_compared_by_a_sample(images, monkeypatch, tmp_path):
    monkeypatch.setattr(overview, "ENOUGH", 16)
    photos, codes = made(count=24, contributors=6), np.stack([hashes(image) for image in images])
    result = overview.analyze(photos, images, codes, [], SETTINGS)
    assert result.compared == 16 and len(result.photos) == 24 and result.photos.cluster.notna().all()
    assert outputs.report(result, [], 0)["photos"]["compared"] == 16
    assert "by 16 photos, drawn by their names" in outputs.readable(result, [])
    monkeypatch.setattr(overview, "ENOUGH", 24)
    assert "compared" not in outputs.report(overview.analyze(photos, images, codes, [], SETTINGS), [], 0)["photos"]


def test_a_foreign_table_of_copies_is_told():
    photos = made()
    row = Copy("k01", "10.jpg", "10", "train", "k00", "3.jpg", "3", "test", "0.9500")
    assert overview.between_sides(photos, [row]) == [Pair(3, 10, 0.95)]
    with pytest.raises(DepixelError, match=r"belongs to other photos.*stages/split.py"):
        overview.between_sides(photos, [row._replace(sha256="x")])


# The stage and the command


@pytest.fixture(scope="module")
def analyzed(reproduced):
    return SimpleNamespace(
        folder=reproduced,
        report=json.loads((reproduced / "metrics/analysis.json").read_text(encoding="utf-8")),
        table=pd.read_csv(reproduced / "data/analysis.csv", keep_default_na=False),
    )


def test_the_stage_knows_every_valid_photo(analyzed):
    index = prepared.load_index(analyzed.folder / "data/prepared/index.csv")
    assert analyzed.table[["contributor", "name"]].to_numpy().tolist() == [list(photo[:2]) for photo in index]
    images = prepared.load_images(analyzed.folder / "data/prepared/images.npy", len(index))
    np.testing.assert_allclose(analyzed.table.brightness, images.mean(axis=(1, 2)), atol=1e-3)
    assert {side: values["photos"] for side, values in analyzed.report["sides"].items()} == dict(
        analyzed.table[analyzed.table.side != "copy"].side.value_counts()
    )
    for name in ("clusters.png", "findings.png"):
        with Image.open(analyzed.folder / "metrics" / name) as sheet:
            assert sheet.width > 700


def test_the_command_writes_the_same_of_any_folder(analyzed, tmp_path):
    done = run("depixel", "analyze", "data/raw", "-o", str(tmp_path / "out"), cwd=analyzed.folder)
    assert "Why it matters" in done.stdout
    table = pd.read_csv(tmp_path / "out/analysis.csv", keep_default_na=False)
    same = list(table.columns.drop(["side", "cluster", "distance", "same_as", "kinds"]))
    pd.testing.assert_frame_equal(table[same], analyzed.table[same])
    assert set(table.side) == {"all"} and (tmp_path / "out/clusters.png").is_file()
    again = run("depixel", "analyze", "data/raw", "-o", str(tmp_path / "out"), cwd=analyzed.folder, code=1)
    assert "holds files already" in again.stderr
    report = run("depixel", "analyze", "data/raw", "-o", str(tmp_path / "2"), "--json", cwd=analyzed.folder).stdout
    assert json.loads(report) == json.loads((tmp_path / "out/analysis.json").read_text(encoding="utf-8"))
    for name in ("analysis.csv", "clusters.png", "findings.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def analyze(folder: Path, code: int = 0) -> Result:
    """`depixel analyze` of the photos in a folder, in this process."""
    done = CliRunner().invoke(main, ["analyze", str(folder / "photos"), "-o", str(folder / "out")])
    assert done.exit_code == code, done.output
    return done


def test_a_folder_with_one_photo(tmp_path, jpeg):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(jpeg(1))
    analyze(tmp_path)
    assert json.loads((tmp_path / "out/analysis.json").read_text(encoding="utf-8"))["photos"]["photos"] == 1


def test_a_folder_without_photos_is_told(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"no photo")
    assert "none of its 1 files" in analyze(tmp_path, code=1).stderr
    assert not (tmp_path / "out").exists()


def test_planted_photos_are_named(tmp_path, jpeg, write_zip):
    """A dark, a blank and a blurred photo, one compressed too much and a copy among others, each found by itself."""
    ordinary = {f"{i}.jpg": synthetic.photo(9, i, i) for i in range(24)}
    first = decode(ordinary["0.jpg"])
    planted = {
        "dark.jpg": first.point(lambda value: value // 6),
        "blank.jpg": first.point(lambda value: 120 + value // 20),
        "blurred.jpg": first.resize((16, 16)).resize((160, 160), Image.Resampling.BICUBIC),
        "mirrored.jpg": decode(ordinary["7.jpg"]).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }
    files = ordinary | {name: _encoded(image, 92) for name, image in planted.items()}
    files["compressed.jpg"] = _encoded(decode(ordinary["5.jpg"]), 8)
    write_zip(tmp_path / "photos/k1.zip", files)
    analyze(tmp_path)
    table = pd.read_csv(tmp_path / "out/analysis.csv", keep_default_na=False).set_index("name")
    for kind in ("dark", "blank", "blurred", "compressed"):
        assert kind in table.kinds[f"{kind}.jpg"].split(), kind
    assert table.same_as["mirrored.jpg"] == "k1/7.jpg"
    assert table.quality["compressed.jpg"] == 8


def _encoded(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
