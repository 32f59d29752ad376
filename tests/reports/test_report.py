"""The page that tells what a run reached."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from depixel.cli import main
from depixel.experiments import records
from depixel.reports import plots, report
from tests.conftest import run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(reproduced, tmp_path, monkeypatch):
    """A copy with all results, to be changed; the current folder."""
    copy = shutil.copytree(reproduced, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(copy)
    return copy


class Page(HTMLParser):
    """Text, addresses and elements of a page."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str):
        super().__init__()
        self.text, self.addresses, self.open, self.names = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(folder) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def page(folder) -> Page:
    """What the command writes, run in this process: a new one takes longer to start than the page to be made."""
    done = CliRunner().invoke(main, ["report"])
    assert done.exit_code == 0, done.output
    return read(folder)


def refusal() -> str:
    """What the command says on the standard error when it fails."""
    done = CliRunner().invoke(main, ["report"])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    return done.stderr


def test_it_shows_what_the_stages_found_and_needs_nothing_else(folder):
    run("depixel", "report", cwd=folder)
    found = read(folder)
    text = " ".join(" ".join(found.text).split())
    scores = json.loads((folder / "metrics/evaluation.json").read_text(encoding="utf-8"))
    for key, digits in (("ratio_mean", 3), ("ratio_pooled", 3), ("rmse_mean", 2), ("rmse_pooled", 2)):
        assert f"{scores[key]:.{digits}f}" in text
    assert "snapshot v1" in text and "interpolation" in text and "No earlier commit of this branch" in text
    assert found.open == [] and "script" not in found.names
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in found.addresses)
    pictures = [Image.open(io.BytesIO(base64.b64decode(a.split(",")[1]))) for a in found.addresses if a[0] != "#"]
    assert len(pictures) >= 27 and found.names.count("svg") >= 7
    pixelated, restored, truth = (np.asarray(picture) for picture in pictures[:3])
    assert (pixelated != truth).any() and (pixelated != restored).any()
    assert (restored == truth)[pixelated == truth].mean() > 0.9  # the same but in the area


def test_speed_is_told_only_of_this_very_run(folder):
    assert "speed here" in page(folder).text
    log = json.loads((folder / "logs/training.json").read_text(encoding="utf-8"))
    (folder / "logs/training.json").write_text(json.dumps(log | {"validation_rmse": 1.0}), encoding="utf-8")
    assert "speed here" not in page(folder).text


def test_a_tag_of_this_very_run_is_not_what_it_is_compared_with(folder):
    run("git", "tag", "run-1", cwd=folder)
    changed = run("git", "status", "--porcelain", "--untracked-files=no", cwd=folder).stdout
    assert ("What changed since run-1" in " ".join(page(folder).text)) == bool(changed)


def test_it_tells_what_changed_since_the_tagged_run(folder):
    run("git", "tag", "run-1", cwd=folder)
    params = folder / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("epochs: 2", "epochs: 3"), encoding="utf-8")
    scores = folder / "metrics/evaluation.json"
    scores.write_text(scores.read_text(encoding="utf-8").replace('"rmse_mean": ', '"rmse_mean": 1'), encoding="utf-8")
    text = " ".join(" ".join(page(folder).text).split())
    assert "What changed since run-1, the last tagged run" in text and "train.epochs 2 3" in text
    assert "No significant difference" in text and "Photos: the same" in text and "Not committed: " in text


def test_what_photographers_call_their_folders_is_text(folder):
    samples = folder / "metrics/samples.csv"
    table = pd.read_csv(samples)
    first = table["contributor"].iloc[0]
    name = "<script>alert(1)</script>&amp;"
    files = [samples, folder / "data/prepared/index.csv", folder / "data/split.csv"]
    for file in files:
        content = file.read_text(encoding="utf-8").replace(f"{first},", f"{name},")
        file.unlink()  # it may be a link into the cache
        file.write_text(content, encoding="utf-8")
    found = page(folder)
    assert "script" not in found.names
    assert name in " ".join(found.text)


def test_it_shows_the_classical_methods_that_were_measured_beside_this_model(folder):
    assert CliRunner().invoke(main, ["baselines", "bilinear", "-o", "metrics/baselines.json"]).exit_code == 0
    text = " ".join(" ".join(page(folder).text).split())
    assert "Beside classical methods" in text and "training, s size, kB pictures/s" in text
    assert text.count("bilinear") == 1
    path = folder / "metrics/baselines.json"
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace('"baselines"', '"others"'), encoding="utf-8")
    assert "metrics/baselines.json: not as `depixel baselines` writes it" in refusal()
    path.write_text(content.replace('"model_sha256": "', '"model_sha256": "0'), encoding="utf-8")
    assert "was made beside another model" in " ".join(" ".join(page(folder).text).split())


def test_experiments_from_before_a_setting_count_as_made_with_its_default(folder):
    records.record(["HEAD"], "")
    table = records.read_table()
    assert list(report._on_the_same_pixels(table)["model"]) == ["HEAD, recorded"]
    older = table.drop(columns=["split.folds", "split.fold"])
    assert len(report._on_the_same_pixels(older)) == 1
    both = pd.concat([older, table.assign(**{"split.folds": "5"})])
    assert len(report._on_the_same_pixels(both)) == 1


def test_it_shows_the_errors_by_kind_of_photo(folder):
    text = " ".join(" ".join(page(folder).text).split())
    table = pd.read_csv(folder / "metrics/by_kind.csv")
    worst = table.loc[table["rmse_mean"].idxmax()]
    assert f"The worst kind: {worst['third']} {worst['measure']}." in text and f"{worst['rmse_mean']:.2f}" in text
    (folder / "metrics/by_kind.csv").unlink()
    assert "By kind of photo" not in page(folder).text


@pytest.mark.parametrize(
    ("missing", "said"),
    [("metrics/samples.csv", "dvc repro evaluate"), ("models/depixel.safetensors", "there is no such file")],
)
def test_missing_results_are_named(folder, missing, said):
    (folder / missing).unlink()
    (folder / "report.html").write_text("before", encoding="utf-8")
    told = refusal()
    assert missing in told and said in told
    assert (folder / "report.html").read_text(encoding="utf-8") == "before"


def test_scores_of_another_model_are_noticed(folder):
    samples = folder / "metrics/samples.csv"
    table = pd.read_csv(samples)
    samples.unlink()
    table.assign(squared_error=table["squared_error"] * 2).to_csv(samples, index=False)
    assert "not scores of models/depixel.safetensors" in refusal()


def test_plots_take_the_colors_of_the_page():
    table = pd.DataFrame({"epoch": [1, 2], "a": [3.0, 2.0]})
    svg = plots.curves(table, {"a": "<label> & more"}, "name")
    assert svg.startswith("<svg") and "&lt;label&gt; &amp; more" in svg
    assert "var(--ink)" in svg and "var(--second)" in svg
    assert not re.findall(r"#0b0b\d\d", svg) and "http-equiv" not in svg
    other = plots.curves(table, {"a": "label"}, "other")
    ids = [set(re.findall(r'id="([^"]+)"', text)) for text in (svg, other)]
    assert ids[0] and not ids[0] & ids[1]
