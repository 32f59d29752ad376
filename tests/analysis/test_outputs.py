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
    assert "Why it matters" in text and "nearly blank" in text and "no more than chance" in text


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
