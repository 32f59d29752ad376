"""Findings say what is there, why it matters and what to do; and nothing where there is nothing."""

import numpy as np

from depixel.analysis import contributors, findings, sides
from depixel.photos.near_duplicates import Pair
from depixel.photos.rules import Verdict
from tests.analysis.tables import SETTINGS, made, result_of


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


def test_photos_that_are_cut_off_are_told():
    photos = made()
    photos.loc[[7], "cut_off"] = True
    (finding,) = told(photos)
    assert finding.what == "1 photo is damaged: data is missing before the end of the JPEG."
    assert finding.count == 1 and finding.photos == ["k00/7.jpg"]


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
    outstanding = contributors.outstanding(photos)
    (finding,) = told(photos, outstanding=outstanding, told_apart={"accuracy": 0.05, "chance": 0.04})
    assert finding.contributors[0]["contributor"] == "k05"
    assert "JPEG quality 60, others 85" in finding.contributors[0]["is"]
    assert "1 of 24 contributors" in finding.what and len(finding.photos) == 1
    (finding,) = told(photos, outstanding=contributors.outstanding(photos))
    assert finding.what == "1 of 24 contributors stand out from all others."


def test_contributors_that_a_classifier_tells_apart_are_told():
    (finding,) = told(made(), told_apart={"accuracy": 0.55, "chance": 0.04})
    assert finding.what == (
        "A classifier names the right contributor for 55 % of the photos; always naming the largest is right for 4 %."
    )
    assert told(made(), told_apart={"accuracy": 0.1, "chance": 0.04}) == []
    (finding,) = told(made(), told_apart={"accuracy": 0.55, "chance": 0.04, "of_contributors": 9})
    assert "for 55 % of the photos of 9 contributors, drawn by name; always" in finding.what


def test_what_training_lacks():
    photos = made()
    row = sides.Difference("dark", 0.01, 0.3, 0.29, 0.01)
    photos.loc[photos.index[photos.side == "test"][:24], "brightness"] = 20.0
    lacking = told(photos, differences=[row])[-1]
    assert lacking.what.startswith("Training has a smaller share of dark photos than the test side: 1 % against 30 %")
    assert lacking.count == 24 and "not by chance" in lacking.what
    chance = told(photos, differences=[row._replace(p=0.4)])[-1]
    assert "perhaps by chance" in chance.what
    assert len(told(photos, differences=[row._replace(p=0.4, test=0.015)])) == 1  # the dark ones themselves
    measure = told(made(), differences=[sides.Difference("detail", 20.0, 30.0, 0.5, 0.001)])
    assert "median is 30, that of training 20" in measure[0].what


def test_few_photos_and_lost_archives_come_first():
    broken = [Verdict("kim", "", 9, code=3, reason="not a ZIP: cut off")]
    found = findings.findings(result_of(made(199)), SETTINGS, 0, broken)
    assert [finding.what.split(":")[0] for finding in found] == [
        "1 archive cannot be read",
        "Only 199 photos are valid; collect at least 200.",
    ]
    assert found[0].contributors == [{"contributor": "kim", "is": "not a ZIP: cut off"}]
    assert told(made(200)) == []
