"""The report is JSON, the text names everything, the sheets show it."""

import json

import numpy as np
import pytest

from depixel.analysis import contributors, findings, outputs
from tests.analysis.tables import SETTINGS, compare, made, result_of


def test_the_report_is_json_and_the_text_names_everything():
    photos = made()
    photos.loc[3, "contrast"] = 8.0
    result = result_of(photos, differences=compare(photos), outstanding=contributors.outstanding(photos))
    found = findings.findings(result, SETTINGS, 0)
    report = json.loads(json.dumps(outputs.report(result, found, 0), allow_nan=False))
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
    text = outputs.readable(result, found)
    assert "Why it matters" in text and "nearly blank" in text and "no more than by chance" in text


def test_sheets_have_a_row_for_each_cluster_and_finding():
    photos = made()
    photos.loc[3, "contrast"] = 8.0
    images = np.zeros((240, 32, 32), np.uint8)  # of another size than the panels
    images[3] = 222
    result = result_of(photos)
    sheet = outputs.findings_sheet(result, findings.findings(result, SETTINGS, 0), images)
    assert (np.asarray(sheet) == 222).sum() >= 64 * 64
    clusters = outputs.clusters_sheet(result, images)
    assert (np.asarray(clusters) == 0).sum() >= 3 * findings.EXAMPLES * 64 * 64


def test_the_text_is_short_whatever_is_found(tmp_path):
    photos = made()
    result = result_of(photos, differences=compare(photos))
    found = [
        findings.Finding(f"{i} photos are odd: a, b.", "why", "do", i, ["k/1.jpg", "k/2.jpg", "k/3.jpg"])
        for i in range(30)
    ]
    lines = outputs.readable(result, found, tmp_path).splitlines()
    assert len(lines) <= 15 and max(map(len, lines)) < 250
    assert "1. 0 photos are odd (k/1.jpg, k/2.jpg, ...)" in lines and "and 22 more findings" in lines
    assert lines[0].startswith("train: 80 photos of 8 contributors") and str(tmp_path / "analysis.json") in lines[-1]
    alone = outputs.readable(result_of(made(3, 3)), [], tmp_path)
    assert "train: 1 photo of 1 contributor," in alone
