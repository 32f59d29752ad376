"""What is planted among photos is found: copies, odd ones, contributors and sides that differ; and nothing else."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from depixel.analysis import findings, measures, overview
from depixel.analysis.measures import OfFile
from depixel.analysis.overview import AnalyzeSettings
from depixel.base.errors import DepixelError
from depixel.curation import synthetic
from depixel.dataset import prepared, splits
from depixel.dataset.prepared import Photo
from depixel.photos import near_duplicates
from depixel.photos.decoding import decode, square
from depixel.photos.near_duplicates import Copy, Pair
from depixel.photos.rules import Verdict
from tests.conftest import run

SETTINGS = AnalyzeSettings()


def made(count: int = 240, contributors: int = 24, seed: int = 0) -> pd.DataFrame:
    """A table of photos that differ by chance only; a third of the contributors are on each side."""
    random = np.random.default_rng(seed)
    of = np.arange(count) * contributors // count
    photos = pd.DataFrame(
        {
            "path": [f"k{c:02}/{i}.jpg" for i, c in enumerate(of)],
            "contributor": [f"k{c:02}" for c in of],
            "name": [f"{i}.jpg" for i in range(count)],
            "sha256": [f"{i}" for i in range(count)],
            "side": np.array(splits.SIDES)[of % 3],
            "width": 160,
            "height": 140,
            "short_side": 140,
            "aspect": 1.143,
            "bytes": 9000,
            "quality": 85,
            "camera": "A",
        }
    )
    for name, middle in (("brightness", 120), ("contrast", 50), ("detail", 25), ("color", 20), ("sharpness", 30)):
        photos[name] = random.normal(middle, middle / 10, count).round(3)
    for name, middle in (("blur", 0.4), ("blockiness", 1.1), ("clipped", 0.02)):
        photos[name] = random.normal(middle, middle / 10, count).round(4)
    return photos


def result_of(photos: pd.DataFrame, found: list[Pair] = [], **others) -> overview.Analysis:  # noqa: B006
    first = overview.first_copies(len(photos), found)
    same_as = np.where(first == np.arange(len(photos)), "", photos.path.to_numpy(object)[first])
    photos = photos.assign(cluster=np.arange(len(photos)) % 3, distance=np.arange(len(photos)) / 10, same_as=same_as)
    parts = {"differences": [], "outstanding": [], "told_apart": {}} | others
    return overview.Analysis(photos, overview.kinds(photos, SETTINGS), found, **parts)


# The table and the kinds


def test_the_table_has_upright_sizes():
    photos = [Photo("k1", "a.jpg", "1"), Photo("", "b.jpg", "2")]
    verdicts = [
        Verdict("k1", "a.jpg", 5000, "1", 300, 150, "RGB", 6),
        Verdict("", "b.jpg", 6000, "2", 100, 120, "L", 1),
    ]
    files = [OfFile(80, 1.0, 9.0, "A"), OfFile(70, 1.5, 0.0, "")]
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8)
    table = overview.table(photos, np.array(["train", "test"]), verdicts, files, images)
    assert table.path.tolist() == ["k1/a.jpg", "b.jpg"]
    assert table[["width", "height", "short_side"]].to_numpy().tolist() == [[150, 300, 150], [100, 120, 100]]
    assert table.aspect.tolist() == [2, 1.2]
    assert table.camera.tolist() == ["A", ""] and table.quality.tolist() == [80, 70]
    np.testing.assert_allclose(table.brightness, images.mean(axis=(1, 2)), atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("blank", "contrast", 11.9),
        ("dark", "brightness", 39.9),
        ("bright", "brightness", 215.1),
        ("blurred", "blur", 0.61),
        ("compressed", "quality", 49),
        ("compressed", "blockiness", 2.1),
        ("long", "aspect", 2.0),
        ("gray", "color", 0.0),
        ("smooth", "detail", 1.0),
        ("textured", "detail", 99.0),
    ],
)
def test_each_kind_is_what_its_measure_says(kind, column, value):
    photos = made()
    photos[column] = photos[column].astype(float)
    before = overview.kinds(photos, SETTINGS)
    photos.loc[7, column] = value
    after = overview.kinds(photos, SETTINGS)
    assert not before.drop(columns=["smooth", "textured"]).to_numpy().any()
    assert after[kind][7]
    assert set(after.columns[after.loc[7]]) - {"smooth", "textured", kind} == set()


def test_thresholds_are_settings():
    photos = made()
    assert overview.kinds(photos, AnalyzeSettings(dark=255)).dark.all()


# Copies


@pytest.fixture(scope="module")
def images():
    return np.stack([square(decode(synthetic.photo(3, c, i)), 64) for c in range(6) for i in range(4)])


@pytest.mark.parametrize("workers", [1, 2])
def test_copies_on_the_same_side_are_found(images, workers, monkeypatch):
    monkeypatch.setattr(overview, "_BLOCK", 5)
    codes = [near_duplicates.hashes(image) for image in images]
    already = overview.pairs(images, np.stack(codes), np.full(len(images), "train"), 1)
    images = np.concatenate([images, images[2:3], images[9:10, :, ::-1]])
    codes = np.stack(
        [*codes, near_duplicates.hashes(images[-2]), near_duplicates.hashes(np.ascontiguousarray(images[-1]))]
    )
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


def test_a_foreign_table_of_copies_is_told():
    photos = made()
    row = Copy("k01", "10.jpg", "10", "train", "k00", "3.jpg", "3", "test", "0.9500")
    assert overview.between_sides(photos, [row]) == [Pair(3, 10, 0.95)]
    with pytest.raises(DepixelError, match=r"of other photos.*stages/split.py"):
        overview.between_sides(photos, [row._replace(sha256="x")])


# Clusters


def kinds_of_pictures(count: int = 20) -> np.ndarray:
    """Three kinds of pictures, one after the other: dark dots, bright bands, noise."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64]
    found = []
    for kind in range(3):
        for _ in range(count):
            a, b = random.uniform(20, 44, 2)
            dots = 30 + 150 * (np.hypot(x - a, y - b) < 10)
            bands = 200 + 50 * np.sin(y / random.uniform(3, 4) + a)
            noise = random.normal(120, 40, (64, 64))
            picture = (dots, bands, noise)[kind]
            found.append((picture + random.normal(0, 2, (64, 64))).clip(0, 255))
    return np.array(found).astype(np.uint8)


def test_similar_photos_are_in_one_cluster_and_the_largest_is_the_first():
    images = kinds_of_pictures()[:-5]  # 20, 20, 15
    cluster, distance = overview.clusters(overview.described(images), 3)
    assert np.bincount(cluster).tolist() == [20, 20, 15]
    assert all(len(set(cluster[start : start + 15])) == 1 for start in (0, 20, 40))
    assert (distance > 0).all()
    again = overview.clusters(overview.described(images), 3)
    assert (again[0] == cluster).all() and (again[1] == distance).all()


def test_more_clusters_than_photos():
    assert sorted(overview.clusters(overview.described(kinds_of_pictures(1)), 12)[0]) == [0, 1, 2]
    assert overview.clusters(overview.described(kinds_of_pictures(1)[:1]), 12)[0].tolist() == [0]


def test_words_say_what_is_different():
    photos = made()
    photos.loc[:9, "brightness"] = 20.0
    photos.loc[:9, "detail"] = 60.0
    assert overview.words(photos, photos.index < 10) in ("darker, more textured", "more textured, darker")
    assert overview.words(photos, photos.index >= 0) == "like the average"


def test_typical_photos_are_the_nearer_half():
    distances = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
    assert overview.typical(distances, np.array([0, 1, 2, 3, 4]), 3).tolist() == [1, 3, 4]
    assert overview.typical(distances, np.array([], int), 3).tolist() == []


# Sides


def compare(photos, whole=True):
    are = overview.kinds(photos, SETTINGS)
    return overview.differences(photos, are, np.zeros(len(photos), int), whole)


def test_sides_that_differ_by_chance_do_not_differ():
    least = [min(row.p for row in compare(made(seed=seed), whole)) for seed in range(10) for whole in (True, False)]
    assert sum(p <= 0.05 for p in least) <= 3  # of 20; one is to be expected


def test_a_darker_test_side_is_found():
    photos = made()
    photos.loc[photos.side == "test", "brightness"] -= 30
    found = compare(photos)
    assert found[0].what == "brightness" and found[0].p <= 0.01 and found[0].ks > 0.8
    assert found[0].train - found[0].test == pytest.approx(30, abs=5)
    assert all(row.p > 0.05 for row in found[1:])


def test_one_odd_contributor_is_no_difference_of_sides():
    """Thirty photos of one contributor are one observation, not thirty."""
    photos = made(contributors=8)
    photos.loc[photos.contributor == photos.contributor[photos.side == "test"].iloc[0], "color"] = 90.0
    assert min(row.p for row in compare(photos, whole=True)) > 0.05
    assert compare(photos, whole=False)[0].p <= 0.05  # as it would be taken without regard to contributors


def test_without_two_sides_there_is_nothing_to_compare():
    photos = made()
    assert compare(photos.assign(side="all")) == []
    assert compare(photos.assign(side=np.where(photos.contributor == "k01", "train", "test")).iloc[:20]) == []


# Contributors


def test_contributors_alike_do_not_stand_out():
    assert sum(bool(overview.outstanding(made(seed=seed))) for seed in range(20)) <= 3  # one is to be expected


@pytest.mark.parametrize(("column", "change"), [("brightness", 40), ("blur", 0.15), ("quality", -20)])
def test_a_contributor_that_differs_stands_out(column, change):
    photos = made()
    photos.loc[photos.contributor == "k05", column] += change
    found = overview.outstanding(photos)
    assert [(row.contributor, row.what, row.photos, row.side) for row in found] == [("k05", column, 10, "test")]
    assert np.sign(found[0].z) == np.sign(change) and abs(found[0].z) > 3
    assert found[0].mean - found[0].others == pytest.approx(change, rel=0.2)


def test_two_that_differ_do_not_hide_each_other():
    photos = made()
    photos.loc[photos.contributor.isin(("k05", "k11")), "contrast"] += 40
    assert {row.contributor for row in overview.outstanding(photos)} == {"k05", "k11"}


def test_few_photos_may_differ_by_chance():
    """Five photos scatter more than fifty; nobody is blamed for having few."""
    photos = made(count=2000, contributors=40)
    few = photos.index[photos.contributor == "k05"][:5]
    photos = photos.drop(photos.index[photos.contributor == "k05"].difference(few))
    photos.loc[few, "brightness"] = 120.0 + 12 * 2.2 / np.sqrt(5)
    assert overview.outstanding(photos) == []


def test_too_few_contributors_are_not_judged():
    photos = made(contributors=4)
    photos.loc[photos.contributor == "k01", "contrast"] += 40
    assert overview.outstanding(photos) == []


def test_a_classifier_tells_contributors_apart_if_they_differ():
    photos = made()
    alike = overview.told_apart(photos)
    assert alike["chance"] == pytest.approx(1 / 24, abs=1e-4) and alike["accuracy"] < 0.12
    photos["brightness"] += np.repeat(np.arange(24) * 60.0, 10)
    assert overview.told_apart(photos)["accuracy"] > 0.8
    assert overview.told_apart(photos.assign(contributor="")) == {}


# Findings


def told(photos, found=[], exact=0, **others):  # noqa: B006
    return findings.findings(result_of(photos, found, **others), SETTINGS, exact)


def test_ordinary_photos_give_no_finding():
    assert told(made()) == []


def test_findings_say_what_why_and_what_to_do():
    photos = made()
    photos.loc[[3, 5], "contrast"] = [8.0, 4.0]
    photos.loc[[9], "side"] = "copy"
    found = told(photos, [Pair(0, 1, 0.95), Pair(9, 12, 0.99)], exact=2)
    assert [finding.what.split(":")[0].split(",")[0] for finding in found] == [
        "2 files are the same",
        "1 photo shows the same picture as one on another side.",
        "1 photo shows the same picture as another one on the same side",
        "2 photos are nearly blank (contrast below 12)",
    ]
    assert [finding.count for finding in found] == [2, 1, 1, 2]
    assert all(finding.why and finding.do for finding in found)
    blank = found[-1]
    assert blank.photos == ["k00/5.jpg", "k00/3.jpg"]  # the clearest first
    assert blank.what.startswith("2 photos are nearly blank (contrast below 12): ")


def test_pairs_are_shown_two_by_two():
    photos = made()
    found = told(photos, [Pair(30, 31, 0.95), Pair(60, 62, 0.9)])
    assert [finding.photos for finding in found] == [["k03/30.jpg", "k03/31.jpg", "k06/60.jpg", "k06/62.jpg"]]


def test_photos_without_a_camera_and_cameras_that_training_lacks():
    photos = made()
    assert "240 of 240 photos do not name their camera" in told(photos.assign(camera=""))[0].what
    photos.loc[photos.contributor == "k02", "camera"] = "B"
    (finding,) = told(photos)
    assert finding.count == 10 and "B." in finding.what and finding.photos[0] == "k02/20.jpg"


def test_one_contributor_with_most_of_the_photos():
    photos = made()
    photos.loc[photos.side == "train", "contributor"] = np.repeat(["k00", "k03"], [60, 20])
    (finding,) = told(photos.assign(side=photos.side))
    assert finding.contributors == [
        {"contributor": "k00", "is": "60 photos, 75 %"},
        {"contributor": "k03", "is": "20 photos, 25 %"},
    ]


def test_contributors_that_stand_out_are_told_with_what_is_special():
    photos = made()
    photos.loc[photos.contributor == "k05", "quality"] = 60
    (finding,) = told(photos, outstanding=overview.outstanding(photos), told_apart={"accuracy": 0.05, "chance": 0.04})
    assert finding.contributors[0]["contributor"] == "k05"
    assert "JPEG quality 60, others 85" in finding.contributors[0]["is"]
    assert "1 of 24 contributors" in finding.what and len(finding.photos) == 1
    (finding,) = told(photos, outstanding=overview.outstanding(photos))
    assert finding.what == "1 of 24 contributors stand out from all others."


def test_contributors_that_a_classifier_tells_apart_are_told():
    (finding,) = told(made(), told_apart={"accuracy": 0.55, "chance": 0.04})
    assert finding.what == "A classifier can tell whose a photo is for 55 % of them; guessing, for 4 %."
    assert told(made(), told_apart={"accuracy": 0.1, "chance": 0.04}) == []


def test_what_training_lacks():
    photos = made()
    row = overview.Difference("dark", 0.01, 0.3, 0.29, 0.01)
    photos.loc[photos.index[photos.side == "test"][:24], "brightness"] = 20.0
    lacking = told(photos, differences=[row])[-1]
    assert lacking.what.startswith("Training has less of dark photos than the test side: 1 %, there 30 %")
    assert lacking.count == 24 and "no chance" in lacking.what
    chance = told(photos, differences=[row._replace(p=0.4)])[-1]
    assert "maybe by chance" in chance.what
    assert len(told(photos, differences=[row._replace(p=0.4, test=0.015)])) == 1  # the dark ones themselves
    measure = told(made(), differences=[overview.Difference("detail", 20.0, 30.0, 0.5, 0.001)])
    assert "median is 30, that of training 20" in measure[0].what


def test_the_report_is_json_and_the_text_names_everything():
    photos = made()
    photos.loc[3, "contrast"] = 8.0
    result = result_of(photos, differences=compare(photos), outstanding=overview.outstanding(photos))
    found = findings.findings(result, SETTINGS, 0)
    report = json.loads(json.dumps(findings.report(result, found, 0), allow_nan=False))
    assert [finding["count"] for finding in report["findings"]] == [1]
    assert report["photos"] == {
        "photos": 240, "contributors": 24, "exact_copies": 0, "copies": 0, "gray": 0, "with_camera": 240,
        "cameras": {"A": 240},
    }  # fmt: skip
    assert list(report["sides"]) == ["train", "validation", "test"]
    train = photos[photos.side == "train"]
    assert report["sides"]["train"]["measures"]["brightness"][2] == round(train.brightness.median(), 4)
    assert sum(report["sides"]["test"]["clusters"]) == pytest.approx(1, abs=1e-3)
    assert sum(cluster["photos"] for cluster in report["clusters"]) == 240
    text = findings.readable(result, found)
    assert "Why it matters" in text and "nearly blank" in text and "no more than chance" in text


def test_sheets_have_a_row_for_each_cluster_and_finding():
    photos = made()
    photos.loc[3, "contrast"] = 8.0
    images = np.zeros((240, 32, 32), np.uint8)  # of another size than the panels
    images[3] = 222
    result = result_of(photos)
    sheet = findings.findings_sheet(result, findings.findings(result, SETTINGS, 0), images)
    assert (np.asarray(sheet) == 222).sum() >= 64 * 64
    clusters = findings.clusters_sheet(result, images)
    assert (np.asarray(clusters) == 0).sum() >= 3 * findings.EXAMPLES * 64 * 64


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
    assert "has files in it" in again.stderr
    report = run("depixel", "analyze", "data/raw", "-o", str(tmp_path / "2"), "--json", cwd=analyzed.folder).stdout
    assert json.loads(report) == json.loads((tmp_path / "out/analysis.json").read_text(encoding="utf-8"))
    for name in ("analysis.csv", "clusters.png", "findings.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_folder_with_one_photo(tmp_path, jpeg):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(jpeg(1))
    run("depixel", "analyze", "photos", "-o", "out", cwd=tmp_path)
    assert json.loads((tmp_path / "out/analysis.json").read_text(encoding="utf-8"))["photos"]["photos"] == 1


def test_a_folder_without_photos_is_told(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"no photo")
    assert "none of its 1 files" in run("depixel", "analyze", "photos", "-o", "out", cwd=tmp_path, code=1).stderr
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
    run("depixel", "analyze", "photos", "-o", "out", cwd=tmp_path)
    table = pd.read_csv(tmp_path / "out/analysis.csv", keep_default_na=False).set_index("name")
    for kind in ("dark", "blank", "blurred", "compressed"):
        assert kind in table.kinds[f"{kind}.jpg"].split(), kind
    assert table.same_as["mirrored.jpg"] == "k1/7.jpg"
    assert table.quality["compressed.jpg"] == 8


def _encoded(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_broken_files_end_the_stage_with_their_name(tmp_path):
    entry = SimpleNamespace(problem="", member=None, source=str(tmp_path / "a.jpg"), path="k1/a.jpg")
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(DepixelError, match=r"^k1/a.jpg: .*dvc repro"):
        list(overview.of_files([(entry, "")], 1))


def test_the_measures_are_columns_of_the_table():
    assert set(overview.MEASURES) - {"short_side", "aspect"} <= {*OfFile._fields, *measures.OfImages._fields}
