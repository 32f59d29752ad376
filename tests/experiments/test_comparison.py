import re
import shutil

import pandas as pd
import pytest

from depixel.base.errors import DepixelError
from depixel.experiments.comparison import common, compare, compare_many, keep_samples, read_samples, verdict
from depixel.scoring.scores import intervals
from depixel.versioning import experiment_ref
from tests.conftest import run
from tests.scoring.test_scores import AREAS_PER_PHOTO, drawn


def test_a_better_model_is_told():
    worse, better = drawn(0, share=0.3), drawn(0)
    result = compare(worse, better)
    assert result.verdict().startswith("B is better") and compare(better, worse).verdict().startswith("A is better")
    assert (result.samples, result.photos) == (60 * AREAS_PER_PHOTO, 60)
    # the same draws of photos as in an evaluation
    pd.testing.assert_frame_equal(result.ratios, intervals({"A": worse, "B": better}, ("B", "A")))


def test_a_verdict_names_the_models():
    worse, better = drawn(0, share=0.3), drawn(0)
    for order in (("kriging", "model"), ("model", "kriging")):
        difference = intervals({"kriging": worse, "model": better}, order).iloc[-1]
        assert verdict(difference, *difference["model"].split(" - ")).startswith("model is better")


def test_luck_is_told():
    assert compare(drawn(0), drawn(0)).verdict().startswith("No significant difference")
    assert compare(drawn(0, noise_seed=1), drawn(0, noise_seed=2)).verdict().startswith("No significant difference")


def test_two_ratios_that_disagree_are_told():
    a = drawn(0)
    hard = a["squared_error"] > a["squared_error"].quantile(0.8)
    errors = a["squared_error"].where(hard, a["squared_error"] / 2).where(~hard, a["squared_error"] * 1.5)
    b = a.assign(squared_error=errors.astype(int))
    assert compare(a, b).verdict() == (
        "It depends: by ratio_pooled the difference is not significant, by ratio_mean B is better. "
        "To choose between models, go by ratio_mean."
    )


def test_only_common_samples_count():
    a = drawn(0)
    others = drawn(1).assign(contributor="other")
    a_and_more, b = pd.concat([others, a.sample(frac=1, random_state=0)]), a.iloc[:100]
    result = compare(a_and_more, b.assign(squared_error=b["squared_error"] // 2))
    assert (result.samples, result.photos) == (100, 60)
    assert result.ratios["ratio_pooled"][1] == pytest.approx(result.ratios["ratio_pooled"][0] / 2**0.5, rel=1e-3)


def test_the_same_area_twice_counts_twice():
    a = drawn(0)
    twice = pd.concat([a, a.iloc[:4]])
    assert compare(twice, twice).samples == len(twice) and compare(twice, a).samples == len(a)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"contributor": "other"}, "`split`"),
        ({"x": 40}, "`evaluate.seed`"),
        ({"block_size": 9}, "`pixelation`"),
        ({"identity_squared_error": 1}, "replaced"),
    ],
)
def test_other_samples_are_refused_with_what_differs(change, told):
    with pytest.raises(DepixelError, match=f"A and B have 0: .*{told}"):
        compare(drawn(0), drawn(0).assign(**change))


def test_one_common_photo_is_too_few():
    with pytest.raises(DepixelError, match=r"A and B have 1: .* other photos"):
        compare(drawn(0), drawn(0).iloc[[0]])


def test_names_of_photos_stay_text(tmp_path):
    table = drawn(0).assign(contributor="0012", name="NA")
    table.loc[0, ["contributor", "name"]] = ["", 'a,"b".jpg']
    table.to_csv(tmp_path / "samples.csv", index=False)
    pd.testing.assert_frame_equal(read_samples(str(tmp_path / "samples.csv")), table)


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", "contributor,name,x,y,width,height,block_size,squared_error\n", b"\xff\xfe\x00"]
)
def test_a_file_that_is_no_table_is_told(tmp_path, content):
    path = tmp_path / "samples.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DepixelError, match=r"samples.csv: not a table of contributor,.*`dvc repro evaluate`"):
        read_samples(str(path))


def test_a_table_with_text_for_numbers_is_told(tmp_path):
    drawn(0).astype(object).assign(width="wide").to_csv(tmp_path / "samples.csv", index=False)
    with pytest.raises(DepixelError, match="not a table"):
        read_samples(str(tmp_path / "samples.csv"))


def test_outside_a_project_there_are_no_revisions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DepixelError, match=r"metrics.samples.csv: no such file.*dvc repro evaluate"):
        read_samples("workspace")
    with pytest.raises(DepixelError, match="Run from the project's folder"):
        read_samples("main")


def test_revisions_and_experiments_are_read_from_cache_and_remote(reproduced, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(reproduced, folder, symlinks=True)
    run("dvc", "exp", "run", "--name", "one_view", "--set-param", "predict.views=1", "evaluate", cwd=folder)
    monkeypatch.chdir(folder)

    main, one_view = read_samples(str(reproduced / "metrics/samples.csv")), read_samples("workspace")
    assert not main.equals(one_view)
    (ref,) = run("git", "for-each-ref", "--format=%(refname)", "refs/exps/??/*/one_view", cwd=folder).stdout.split()
    twin = experiment_ref("0" * 40, "one_view")  # of the same name, from another commit
    run("git", "update-ref", twin, ref, cwd=folder)
    assert read_samples("one_view").equals(one_view)
    run("git", "update-ref", "-d", twin, cwd=folder)

    def told(source: str) -> str:
        with pytest.raises(DepixelError) as raised:
            read_samples(source)
        return str(raised.value)

    assert run("depixel", "record", "one_view", cwd=folder).stdout.count("one_view") == 1
    (folder / "metrics/samples.csv").unlink()
    shutil.move(folder / "data/store", tmp_path)
    assert read_samples("main").equals(main) and read_samples("one_view").equals(one_view)  # from the cache
    assert "samples.csv: no such file" in told("workspace")
    shutil.move(tmp_path / "store", folder / "data")
    shutil.rmtree(folder / ".dvc/cache")
    assert read_samples("HEAD").equals(main)  # from the remote
    assert read_samples("one_view").equals(one_view)  # which was recorded
    run("dvc", "exp", "remove", "one_view", cwd=folder)
    assert read_samples("one_view").equals(one_view)  # as in a clone
    before = (folder / "metrics/recorded/one_view.csv.gz").read_bytes()
    keep_samples("again", "one_view")
    assert read_samples("again").equals(one_view)
    (folder / "metrics/recorded/again.csv.gz").write_bytes(before[:-40])
    assert "again.csv.gz: not a table of" in told("again")
    assert "dvc get . models --rev main~1 --out other" in told("main~1")  # not yet reproduced
    assert told("mian").startswith("mian: neither") and "dvc exp list" in told("mian")


def test_a_model_without_table_can_be_scored_as_told(reproduced, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(reproduced, folder, symlinks=True)
    run("dvc", "get", ".", "models", "--rev", "main", "--out", "other", cwd=folder)
    command = ("stages/evaluate.py", "--model", "other/depixel.safetensors", "--metrics", "other")
    run("python", *command, cwd=folder)
    told = run("depixel", "compare", "main", "other/samples.csv", cwd=folder).stdout
    assert re.search(r"B - A +0.0000 \[0.0000, 0.0000\] +0.0000 \[0.0000, 0.0000\]", told)
    assert "Both have 32 samples of 8 photos.\n" in told and "No significant difference" in told


def test_many_are_compared_with_the_first_by_intervals_that_hold_together():
    same = {f"same {i}": drawn(0, noise_seed=10 + i) for i in range(8)}
    models = common({"first": drawn(0, noise_seed=1), "better": drawn(0, share=0.1, noise_seed=2), **same})
    table = compare_many(models).set_index("model")
    assert list(table.index) == list(models) and table.loc["first"].isna().sum() == 6
    for ratio in ("ratio_mean", "ratio_pooled"):
        one = compare(models["first"], models["better"]).ratios.iloc[-1]
        better = table.loc["better"]
        assert better[f"{ratio}_difference"] == pytest.approx(one[ratio])
        wide, single = (row[f"{ratio}_high"] - row[f"{ratio}_low"] for row in (better, one))
        assert single < wide < 2.5 * single  # they pay for being many
        others = table.loc[list(same)]
        assert ((others[f"{ratio}_low"] < 0) & (others[f"{ratio}_high"] > 0)).all()


def test_only_samples_that_all_have_count():
    a = drawn(0)
    found = common({"a": a, "b": a.iloc[50:], "c": a.iloc[:100]})
    assert {len(of) for of in found.values()} == {50}
    assert (found["c"]["squared_error"].to_numpy() == a.iloc[50:100]["squared_error"].to_numpy()).all()
