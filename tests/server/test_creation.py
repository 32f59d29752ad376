"""Making a challenge: what is public, what is not, and which photos are drawn."""

import io
import json
import threading
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.base.layout import INDEX, PREPARED, PRETRAINED, SPLIT
from depixel.challenge import test_sets, truth
from depixel.cli import main
from depixel.dataset.prepared import load_index
from depixel.dataset.splits import Assigned, write_splits
from depixel.model import networks
from depixel.model.predictor import ModelConfiguration, Predictor
from depixel.photos import archives, preparation, rules
from depixel.server import creation
from tests.curation.test_public import packed

PLAN = creation.Plan(pictures=None, areas=1, width=(4, 32), height=(4, 32), block_size=(4, 16), seed=3, shown=1.0)


def picture(seed: int) -> Image.Image:
    """A photo of its own: rough where copies agree, and no two alike."""
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((180, 160), Image.Resampling.BICUBIC)


def jpeg_of(image: Image.Image, quality: int = 95) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(8):
        (folder / f"{i}.jpg").write_bytes(jpeg_of(picture(i)))
    return folder


def files(root) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_targets_and_test_set_are_kept_apart_and_fit(photos, tmp_path):
    made = creation.create(photos, tmp_path / "c", PLAN._replace(areas=2), references=False)
    assert (made.samples, made.photos, made.copies) == (16, 8, 0)
    assert sorted(files(tmp_path / "c")) == [
        *("private/creation.json", "private/targets.npz", "public/test_set.pkl", "rules.yaml")
    ]
    assert (tmp_path / "c/private").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "c/private/targets.npz").stat().st_mode & 0o777 == 0o600
    samples = test_sets.read_test_set(tmp_path / "c/public/test_set.pkl")
    true, areas = test_sets.read_targets(tmp_path / "c/private")
    assert np.array_equal(test_sets.areas(samples.known)[:, :4], areas[:, :4])
    for pixelated, known, photo in zip(samples.pixelated, samples.known, true, strict=True):
        assert np.array_equal(pixelated.squeeze()[known.squeeze()], photo[known.squeeze()])
        assert not np.array_equal(pixelated.squeeze(), photo)


def test_the_public_file_is_byte_for_byte_what_the_library_writes(photos, tmp_path):
    creation.create(photos, tmp_path / "c", PLAN, references=False)
    test_sets.write_test_set(tmp_path / "again", *test_sets.read_targets(tmp_path / "c/private"))
    assert (tmp_path / "again/test_set.pkl").read_bytes() == (tmp_path / "c/public/test_set.pkl").read_bytes()


def test_the_same_seed_makes_the_same_challenge_and_another_seed_another(photos, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4), ("d", None), ("e", None)):
        creation.create(photos, tmp_path / name, PLAN._replace(seed=seed), references=False)
    made = {name: files(tmp_path / name) for name in "abcde"}
    assert made["a"] == made["b"]
    assert len({made[name]["public/test_set.pkl"] for name in "acde"}) == 4


def test_a_share_of_the_samples_is_shown(photos, tmp_path):
    creation.create(photos, tmp_path / "c", PLAN._replace(shown=0.25), references=False)
    hidden = json.loads((tmp_path / "c/private/creation.json").read_text())["hidden"]
    assert len(hidden) == 6 and set(hidden) < set(range(8))


def test_photos_that_the_teams_have_are_left_out(photos, tmp_path, write_zip):
    copies = {
        "a.jpg": jpeg_of(picture(2), 60),
        "b.jpg": jpeg_of(picture(5).resize((120, 107))),
        "c.jpg": jpeg_of(picture(99)),
    }
    own = write_zip(tmp_path / "students.zip", copies)
    made = creation.create(photos, tmp_path / "c", PLAN, [own], references=False)
    assert (made.photos, made.copies) == (6, 2)
    names = json.loads((tmp_path / "c/private/creation.json").read_text())["photos"]
    assert not [name for name in names if "2.jpg" in name or "5.jpg" in name]


def test_an_archive_and_the_test_side_of_a_project_do_as_well(photos, tmp_path, write_zip, monkeypatch):
    archive = write_zip(tmp_path / "p.zip", {path.name: path.read_bytes() for path in photos.iterdir()})
    assert creation.create(archive, tmp_path / "c", PLAN, references=False).photos == 8
    monkeypatch.chdir(tmp_path)
    entries = archives.Entries(photos)
    valid = list(rules.valid_entries(entries, list(rules.validate(entries))))
    preparation.prepare(valid, len(valid), PREPARED, preparation.PrepareSettings(size=64))
    index = load_index(INDEX)
    write_splits((Assigned(*one, "test" if i % 2 else "train") for i, one in enumerate(index)), SPLIT)
    made = creation.create(SPLIT, tmp_path / "d", PLAN, references=False)
    names = json.loads((tmp_path / "d/private/creation.json").read_text())["photos"]
    assert made.photos == 4 and {f"{one.contributor}/{one.name}" for one in index[1::2]} == set(names)


def test_references_stand_in_the_leaderboard_from_the_start(photos, tmp_path):
    from depixel.server import leaderboard
    from depixel.server.service import Service

    made = creation.create(photos, tmp_path / "c", PLAN)
    assert made.references[:3] == ["identity", "interpolation", "kriging"]
    service = Service(tmp_path / "c")
    rows = {row.team: row for row in leaderboard.leaderboard(service).rows}
    service.database.close()
    assert set(rows) == set(made.references)
    assert rows["identity"].ratio == 1 and rows["interpolation"].rmse < rows["identity"].rmse


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pictures": 9}, "8 photos, but 9 are wanted"),
        ({"width": (4, 80)}, "--width 4 80: must be"),
        ({"block_size": (9, 8)}, "--block 9 8"),
    ],
)
def test_what_cannot_be_drawn_is_told_and_nothing_is_left(photos, tmp_path, change, told):
    with pytest.raises(DepixelError, match=told):
        creation.create(photos, tmp_path / "c", PLAN._replace(**change), references=False)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_folder_without_photos_and_one_that_is_there_are_told(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.txt").write_text("a")
    with pytest.raises(DepixelError, match="none of its"):
        creation.create(tmp_path / "empty", tmp_path / "c", PLAN)
    with pytest.raises(DepixelError, match="exists already"):
        creation.create(photos, tmp_path / "empty", PLAN)
    with pytest.raises(DepixelError, match="neither a folder nor an archive"):
        creation.create(tmp_path / "empty/a.txt", tmp_path / "c", PLAN)


def test_a_fetched_collection_does_as_well(tmp_path, monkeypatch):
    """Downloaded by `depixel fetch` from a server on this machine, in the layout of a known collection."""
    members = {f"imagenette2-160/train/n01440764/{i}.JPEG": jpeg_of(picture(i)) for i in range(6)}
    for name in ("web", ".dvc"):
        (tmp_path / name).mkdir()
    (tmp_path / "web/imagenette2-160.tgz").write_bytes(packed(members))
    monkeypatch.chdir(tmp_path)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "web")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,)).start()
        url, content = f"http://127.0.0.1:{web.server_port}/imagenette2-160.tgz", tmp_path / "web/imagenette2-160.tgz"
        fetched = CliRunner().invoke(main, ["fetch", url, "--sha256", sha256(content.read_bytes()).hexdigest()])
        web.shutdown()
    assert fetched.exit_code == 0, fetched.output
    for photos in ("data/raw/imagenette2-160.tgz", "data/raw"):
        done = CliRunner().invoke(main, ["challenge", "create", photos, "-o", photos[-3:], "--no-references"])
        assert done.exit_code == 0 and "6 samples of 6 photos" in done.output, done.output
    assert "train/n01440764/0.JPEG" in str(json.loads((tmp_path / "tgz/private/creation.json").read_text())["photos"])


@pytest.fixture
def basic_cnn(tmp_path, monkeypatch):
    """Weights of the challenge's reference network, 5 layers of 32 kernels, in the project of the current folder."""
    torch.manual_seed(0)
    network = networks.build("basic_cnn", 32)
    with torch.no_grad():
        network.out.bias.add_(0.1)  # untrained, it is no more than the identity
    configuration = ModelConfiguration(
        network="basic_cnn", width=32, size=64, area_width=(4, 32), area_height=(4, 32), block_size=(4, 16)
    )
    predictor = Predictor(network, configuration, "cpu")
    monkeypatch.chdir(tmp_path)
    PRETRAINED.mkdir(parents=True)
    predictor.save(PRETRAINED / "basic_cnn.safetensors")
    return predictor


def test_basic_cnn_stands_in_the_leaderboard_if_its_weights_are_at_hand(photos, tmp_path, basic_cnn):
    from depixel.server import leaderboard
    from depixel.server.service import Service

    assert "basic_cnn" in creation.create(photos, tmp_path / "c", PLAN).references
    samples = test_sets.read_test_set(tmp_path / "c/public/test_set.pkl")
    predictions = basic_cnn.predict(samples.pixelated, test_sets.areas(samples.known), 8)
    expected = truth.score(predictions, truth.read(tmp_path / "c/private", samples))
    service = Service(tmp_path / "c")
    rows = {row.team: row for row in leaderboard.leaderboard(service).rows}
    service.database.close()
    assert rows["basic_cnn"].rmse == round(expected["rmse_pooled"], 3) != rows["identity"].rmse
    assert rows["basic_cnn"].kind == "reference" and rows["basic_cnn"].rank is None
