import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depixel.base.errors import DepixelError
from depixel.base.settings import read_section
from depixel.base.tables import write_table
from depixel.dataset.prepared import Photo
from depixel.dataset.splits import COPY, SIDES, Assigned, SplitSettings, load_splits, side, split, write_splits

SAMPLE = [f"k{10_000_000 + i}" for i in range(1, 13)]


def photos_of(contributors, each=3):
    return [Photo(contributor, f"IMG_{i}.jpg", "") for contributor in contributors for i in range(each)]


def test_the_default_splits_the_sample_into_8_2_2(tmp_path):
    found = write_splits(split(photos_of(SAMPLE), SplitSettings()), tmp_path / "split.csv")
    assert found == {
        "train": {"photos": 24, "contributors": 8},
        "validation": {"photos": 6, "contributors": 2},
        "test": {"photos": 6, "contributors": 2},
        "copy": {"photos": 0, "contributors": 0},
    }


def test_a_side_follows_from_the_hash():
    u = int(hashlib.sha256(b"4/k1").hexdigest()[:16], 16) / 2**64  # 0.7...
    assert side("k1", SplitSettings(test=u + 1e-9, validation=0.01)) == "test"
    assert side("k1", SplitSettings(test=u - 1e-9, validation=0.01)) == "validation"
    assert side("k1", SplitSettings(test=0.01, validation=u - 0.01 - 1e-9)) == "train"


@given(st.sets(st.text(min_size=1), min_size=40), st.integers(0, 100), st.sampled_from(["contributor", "photo"]))
def test_no_photo_moves_when_others_come_and_go(contributors, seed, by):
    settings = SplitSettings(by=by, seed=seed, validation=0.3, test=0.3)
    everyone = photos_of(sorted(contributors))
    sides = {row[:2]: row.split for row in split(everyone, settings)}
    for start in (0, 1):
        some = everyone[start::2]
        assert all(sides[row[:2]] == row.split for row in split(some, settings))


@given(st.lists(st.sampled_from(SAMPLE), min_size=1))
def test_no_contributor_is_on_two_sides(contributors):
    rows = list(split(photos_of([*SAMPLE, *contributors]), SplitSettings()))
    assert len({(row.contributor, row.split) for row in rows}) == len(SAMPLE)


@pytest.mark.parametrize("by", ["contributor", "photo"])
def test_fractions_are_kept_on_the_whole(by):
    settings = SplitSettings(by=by, validation=0.2, test=0.1)
    found = Counter(row.split for row in split(photos_of([f"k{i}" for i in range(5000)], each=1), settings))
    assert found["validation"] == pytest.approx(1000, abs=120)
    assert found["test"] == pytest.approx(500, abs=90)


@pytest.mark.parametrize("by", ["contributor", "photo"])
def test_each_is_in_the_test_side_of_one_fold_and_in_the_validation_side_of_the_one_before(by):
    photos = photos_of([f"k{i}" for i in range(40)])
    found = [[row.split for row in split(photos, SplitSettings(by=by, folds=4, fold=fold))] for fold in (0, 1, 2, 3)]
    for sides in zip(*found, strict=True):
        at = sides.index("test")
        assert Counter(sides) == {"test": 1, "validation": 1, "train": 2} and sides[at - 1] == "validation"
    assert Counter(found[0])["test"] == pytest.approx(30, abs=20)


@given(st.sets(st.text(min_size=1), min_size=60), st.integers(0, 100), st.integers(0, 2))
def test_no_photo_changes_its_fold_when_others_come_and_go(names, seed, fold):
    settings = SplitSettings(by="photo", seed=seed, folds=3, fold=fold)
    everyone = photos_of(sorted(names))
    sides = {row[:2]: row.split for row in split(everyone, settings)}
    assert all(sides[row[:2]] == row.split for row in split(everyone[::2], settings))


def test_folds_follow_from_the_hash_and_their_number_alone():
    u = int(hashlib.sha256(b"4/k1").hexdigest()[:16], 16) / 2**64
    for folds in (3, 5, 10):
        assert side("k1", SplitSettings(folds=folds, fold=int(u * folds), test=0.01)) == "test"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{folds: 2}", "split.folds = 2: one fold is for test, one for validation; set 3 or more"),
        ("{folds: 5, fold: 5}", "split.fold = 5: there is no such fold; the folds are 0 to 4"),
        ("{fold: 1}", "split.fold = 1: there is no such fold; set split.folds, too"),
        ("{folds: -1}", "split.folds = -1"),
    ],
)
def test_folds_that_cannot_be_are_told(tmp_path, text, told):
    (tmp_path / "params.yaml").write_text(f"split: {text}", encoding="utf-8")
    with pytest.raises(DepixelError) as raised:
        read_section(tmp_path / "params.yaml", "split", SplitSettings)
    assert told in str(raised.value)


def test_an_empty_fold_names_what_helps():
    with pytest.raises(DepixelError, match=r"number of contributors: 3\).*fewer folds than split\.folds: 50") as caught:
        list(split(photos_of(["k1", "k2", "k3"]), SplitSettings(folds=50)))
    assert "larger fractions" not in str(caught.value)


def test_photos_in_no_folder_are_one_contributor():
    loose = [Photo("", f"{i}.jpg", "") for i in range(50)]
    rows = list(split(loose + photos_of(SAMPLE), SplitSettings()))
    assert len({row.split for row in rows if not row.contributor}) == 1
    assert len({row.split for row in split(loose, SplitSettings(by="photo"))}) == 3


def test_an_empty_side_names_what_helps():
    with pytest.raises(DepixelError, match=r"number of contributors: 1\).*split\.by: photo.*split\.seed"):
        list(split(photos_of(["k1"]), SplitSettings()))
    with pytest.raises(DepixelError, match=r"number of photos: 2\).*larger fractions") as caught:
        list(split(photos_of(["k1"], each=2), SplitSettings(by="photo")))
    assert "split.by" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["{by: camera}", "{validation: 0}", "{test: 1.5}", "{validation: 0.5, test: 0.5}", "{seed: x}", "{rest: 1}"]
)
def test_settings_are_checked(tmp_path, text):
    (tmp_path / "params.yaml").write_text(f"split: {text}", encoding="utf-8")
    with pytest.raises(DepixelError, match="split"):
        read_section(tmp_path / "params.yaml", "split", SplitSettings)


def test_a_table_is_read_as_it_was_written(tmp_path):
    photos = photos_of(SAMPLE)
    rows = list(split(photos, SplitSettings()))
    rows[0] = rows[0]._replace(split=COPY)
    write_splits(rows, tmp_path / "split.csv")
    sides = load_splits(tmp_path / "split.csv", photos)
    assert sides.tolist() == [row.split for row in rows]
    assert set(sides) == {*SIDES, COPY}


def test_a_table_of_other_photos_is_refused(tmp_path):
    photos = photos_of(SAMPLE)
    with pytest.raises(DepixelError, match=r"no such file.*stages/split.py"):
        load_splits(tmp_path / "split.csv", photos)
    rows = list(split(photos, SplitSettings()))
    replaced = [[rows[0]._replace(**change), *rows[1:]] for change in ({"split": "holiday"}, {"sha256": "other"})]
    for other in (rows[1:], rows[::-1], *replaced):
        write_table(tmp_path / "split.csv", Assigned, other)
        with pytest.raises(DepixelError, match=r"split.csv: .*stages/split.py"):
            load_splits(tmp_path / "split.csv", photos)
