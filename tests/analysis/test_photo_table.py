"""The table of photos has what it says, and each kind is what its measure says."""

from types import SimpleNamespace

import numpy as np
import pytest

from depixel.analysis import measures, photo_table
from depixel.analysis.measures import OfFile
from depixel.analysis.photo_table import AnalyzeSettings
from depixel.base.errors import DepixelError
from depixel.dataset.prepared import Photo
from depixel.photos.rules import Verdict
from tests.analysis.tables import SETTINGS, made


def test_the_table_has_upright_sizes():
    photos = [Photo("k1", "a.jpg", "1"), Photo("", "b.jpg", "2")]
    verdicts = [
        Verdict("k1", "a.jpg", 5000, "1", 300, 150, "RGB", 6),
        Verdict("", "b.jpg", 6000, "2", 100, 120, "L", 1),
    ]
    files = [OfFile(80, 1.0, 9.0, "A", False), OfFile(70, 1.5, 0.0, "", True)]
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8)
    table = photo_table.table(photos, np.array(["train", "test"]), verdicts, files, images)
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
    before = photo_table.kinds(photos, SETTINGS)
    photos.loc[7, column] = value
    after = photo_table.kinds(photos, SETTINGS)
    assert not before.drop(columns=["smooth", "textured"]).to_numpy().any()
    assert after[kind][7]
    assert set(after.columns[after.loc[7]]) - {"smooth", "textured", kind} == set()


def test_thresholds_are_settings():
    photos = made()
    assert photo_table.kinds(photos, AnalyzeSettings(dark=255)).dark.all()


def test_words_say_what_is_different():
    photos = made()
    photos.loc[:9, "brightness"] = 20.0
    photos.loc[:9, "detail"] = 60.0
    assert photo_table.words(photos, photos.index < 10) in ("darker, more textured", "more textured, darker")
    assert photo_table.words(photos, photos.index >= 0) == "like the average"


def test_broken_files_end_the_stage_with_their_name(tmp_path):
    entry = SimpleNamespace(problem="", member=None, source=str(tmp_path / "a.jpg"), path="k1/a.jpg")
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(DepixelError, match=r"^k1/a.jpg: .*dvc repro"):
        list(photo_table.of_files([(entry, "")], 1))


def test_the_measures_are_columns_of_the_table():
    assert set(photo_table.MEASURES) - {"short_side", "aspect"} <= {*OfFile._fields, *measures.OfImages._fields}
