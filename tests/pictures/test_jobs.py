import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depixel.areas.area import Area, ResolvedArea
from depixel.base.errors import DepixelError
from depixel.detection.search import Found
from depixel.pictures import jobs
from depixel.pictures.formats import Picture
from depixel.pictures.pixels import pixelate
from depixel.pictures.resolve import resolve


@pytest.fixture
def folder(tmp_path):
    """in/a.png, in/b.JPG, in/deep/a.png, in/notes.txt, in/.hidden.png; c.png."""
    for name in ("in/a.png", "in/b.JPG", "in/deep/a.png", "in/notes.txt", "in/.hidden.png", "c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def planned(inputs, out, **options):
    return [
        (str(job.source), str(job.target.relative_to(out)), job.problem) for job in jobs.jobs(inputs, out, **options)
    ]


def test_a_picture_keeps_its_name_and_its_folder_within_an_input(folder, monkeypatch):
    out = folder / "out"
    assert [target for _, target, _ in planned([str(folder / "in")], out)] == ["a.png", "b.JPG", "deep/a.png"]
    monkeypatch.chdir(folder / "in")
    assert planned(["*.png", "../c.png"], out) == [("a.png", "a.png", ""), ("../c.png", "c.png", "")]
    assert [source for source, _, _ in planned(["**/*.png"], out)] == ["a.png", "deep/a.png"]
    assert planned([str(folder / "in" / "*.JPG")], out)[0][1] == "b.JPG"


def test_what_was_written_before_is_no_input(folder):
    out = folder / "in" / "out"
    out.mkdir()
    (out / "a.png").write_text("restored")
    assert [target for _, target, _ in planned([str(folder / "in")], out, force=True)] == [
        "a.png",
        "b.JPG",
        "deep/a.png",
    ]


def test_nothing_is_overwritten_unasked(folder):
    out = folder / "out"
    out.mkdir()
    (out / "c.png").write_text("earlier")
    assert "exists already" in planned([str(folder / "c.png")], out)[0][2]
    assert planned([str(folder / "c.png")], out, force=True)[0][2] == ""
    assert "it would be overwritten" in planned([str(folder / "c.png")], folder, force=True)[0][2]
    twice = planned([str(folder / "in/a.png"), str(folder / "in/deep/a.png")], folder / "new")
    assert twice[0][2] == "" and "another picture is also written to" in twice[1][2]


def test_names_do_not_lead_out_of_the_folder(folder):
    out = folder / "out"
    out.mkdir()
    (folder / "elsewhere").mkdir()
    (out / "deep").symlink_to(folder / "elsewhere")
    (out / "b.JPG").symlink_to(folder / "elsewhere/b.JPG")
    found = {target: problem for _, target, problem in planned([str(folder / "in")], out, force=True)}
    assert found["a.png"] == ""
    assert "leads out of the folder" in found["deep/a.png"] and "leads out of the folder" in found["b.JPG"]


@pytest.mark.parametrize(
    ("inputs", "out", "problem"),
    [
        (
            ["c.png"],
            "in/notes.txt",
            "notes.txt: is a file, and no picture by its name. Name a folder",
        ),
        (
            ["c.png", "in/a.png"],
            "x.png",
            "x.png: names a single picture, and there are 2 inputs",
        ),
        (["in"], "x.png", "x.png: names a single picture, and in is a folder. Name a folder"),
        (["in/*.png"], "x.png", r"x.png: names a single picture, and in/\*.png is a pattern. Name a folder"),
        (["c.png"], "x.gif", r"x.gif: GIF is read, but not written. Let the name end in .png, .jpg, .webp"),
    ],
)
def test_wrong_inputs_and_outputs_are_told(folder, monkeypatch, inputs, out, problem):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    with pytest.raises(DepixelError, match=problem):
        jobs.jobs(inputs, folder / out)


def test_a_name_that_ends_like_a_pictures_is_a_file(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for out, form in (("x.png", "PNG"), ("new/x.JPEG", "JPEG"), ("x.tif", "TIFF"), ("x.webp", "WEBP")):
        assert jobs.jobs(["c.png"], Path(out)) == [jobs.Job(Path("c.png"), Path(out), form=form)]
    assert jobs.jobs(["no.png"], Path("x.png"))[0].problem == "there is no such picture"
    for out in ("x", "x.dir", "x.png.d"):
        assert jobs.jobs(["c.png"], Path(out))[0].target == Path(out) / "c.png"


def test_a_folder_that_is_called_like_a_picture_is_a_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    Path("x.png").mkdir()
    assert jobs.jobs(["c.png"], Path("x.png"))[0].target == Path("x.png/c.png")


def test_a_file_is_not_overwritten_unasked(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert "exists already. Choose another name" in jobs.jobs(["c.png"], Path("in/a.png"))[0].problem
    assert jobs.jobs(["c.png"], Path("in/a.png"), force=True)[0].problem == ""
    assert "it would be overwritten" in jobs.jobs(["c.png"], Path("c.png"), force=True)[0].problem
    Path("link.png").symlink_to("c.png")
    assert "it would be overwritten" in jobs.jobs(["c.png"], Path("link.png"), force=True)[0].problem


def test_format_and_suffix_must_agree(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert jobs.jobs(["c.png"], Path("x.png"), png=True)[0].form == "PNG"
    with pytest.raises(DepixelError, match=r"x\.jpg: --format png and the suffix \.jpg differ"):
        jobs.jobs(["c.png"], Path("x.jpg"), png=True)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("no.png", "there is no such picture"),
        ("*.tiff", "there is no such picture"),
        ("empty", "has no pictures (names that end in .png"),
        ("in**/*.png", "neither a picture nor a pattern"),
        ("x" * 300, "neither a picture nor a pattern"),
    ],
)
def test_an_input_that_is_not_there_does_not_stop_the_others(folder, monkeypatch, given, problem):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    outcomes = list(jobs.each(lambda job: job.source.name, jobs.jobs([given, "c.png"], folder / "out")))
    assert outcomes[0].problem.startswith(f"{given}: {problem}") and outcomes[1].made == "c.png"


def test_the_areas_beside_pictures_are_no_pictures(folder, monkeypatch):
    monkeypatch.chdir(folder)
    Path("c.png.areas.json").write_text("{}")
    for inputs in (["c.png", "c.png.areas.json"], ["c*"]):
        assert [source for source, _, _ in planned(inputs, folder / "out")] == ["c.png"]


def test_a_failure_does_not_stop_the_rest(folder):
    def work(job):
        if job.source.name == "b.JPG":
            raise DepixelError("it is odd")
        if job.source.parent.name == "deep":
            raise MemoryError
        if job.source.name == "odd.png":
            raise RuntimeError("as Pillow\nsays")
        return job.source.read_text()

    (folder / "odd.png").write_text("odd")
    inputs = [str(folder / name) for name in ("in", "odd.png", "c.png")]
    outcomes = list(jobs.each(work, jobs.jobs(inputs, folder / "out")))
    assert [outcome.made for outcome in outcomes] == ["in/a.png", None, None, None, "c.png"]
    assert outcomes[1].problem == f"{folder / 'in/b.JPG'}: it is odd"
    assert outcomes[2].problem == f"{folder / 'in/deep/a.png'}: out of memory"
    assert outcomes[3].problem == f"{folder / 'odd.png'}: failed (RuntimeError: as Pillow says)"


def test_a_folder_that_cannot_be_read_does_not_stop_the_others(folder, monkeypatch):
    walk = jobs.os.walk

    def refusing(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(folder / "in/deep")))
        yield from (found for found in walk(top) if Path(found[0]).name != "deep")

    monkeypatch.setattr(jobs.os, "walk", refusing)
    found = jobs.jobs([str(folder / "in")], folder / "out")
    assert [job.problem for job in found] == ["", "", "the folder cannot be read"]
    assert found[2].source == folder / "in/deep"


def test_areas_are_read_as_they_were_written(tmp_path):
    areas = [Area(1, 2, 30, 40, 8), Area(50, 0, 9, 9, 3)]
    jobs.write_areas(tmp_path / "a.png", areas)
    assert (tmp_path / "a.png.areas.json").is_file()
    assert json.loads((tmp_path / "a.png.areas.json").read_text()) == {"areas": [[1, 2, 30, 40, 8], [50, 0, 9, 9, 3]]}
    assert jobs.read_areas(tmp_path / "a.png") == areas
    (tmp_path / "b.png.areas.json").write_text('{"areas": [[1, 2, 30, 40]]}')
    assert jobs.read_areas(tmp_path / "b.png") == [Area(1, 2, 30, 40)]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"areas": 3}', '{"areas": [[1, 2, 3]]}', '{"areas": [[1, 2, 3, "x", 5]]}', "[" * 100_000,
     '{"areas": [[1, 2, -3, 4]]}', '{"areas": [[1.5, 2, 3, 4]]}', json.dumps({"areas": [[0, 0, 10**20, 4]]}), "\xff"],
)  # fmt: skip
def test_what_is_no_list_of_areas_is_told(tmp_path, content):
    (tmp_path / "a.png.areas.json").write_text(content, encoding="latin-1")
    with pytest.raises(DepixelError, match=r"a\.png\.areas\.json: not a list of areas. The form is"):
        jobs.read_areas(tmp_path / "a.png")


def test_missing_areas_are_told(tmp_path):
    with pytest.raises(DepixelError, match=r"a\.png: no area is named\. Search for pixelated areas: --auto"):
        jobs.read_areas(tmp_path / "a.png")


def noise(height: int, width: int, channels: tuple[int, ...] = ()) -> np.ndarray:
    """Photo-like: smooth, with some noise."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (height // 12, width // 12), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
    smooth = smooth.reshape(*smooth.shape, *[1] * len(channels))
    return (smooth + random.normal(0, 3, (height, width, *channels))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("deep", [False, True])
def test_areas_are_found_in_pictures_of_all_kinds(channels, deep):
    area = (16, 24, 48, 40, 8)
    pixels = pixelate(noise(120, 140, channels), [area])
    pixels = pixels.astype(np.uint16) * np.uint16(257) if deep else pixels
    assert jobs.find_areas(Path("a.png"), Picture(pixels, "PNG")) == [ResolvedArea(*area)]


def test_blocks_that_begin_outside_of_the_area_are_told_by_what_they_lack(tmp_path):
    whole, clean = pixelate(noise(120, 140), [(16, 24, 48, 40, 8)]), noise(120, 140)
    clean[27:64, 21:64] = whole[27:64, 21:64]  # the first column of blocks lacks 5 pixels, the first row 3
    found = jobs.find_areas(Path("a.png"), Picture(clean, "PNG"))
    assert [area.columns() for area in found] == [(21, 27, 43, 37, 8, 5, 3)]
    assert resolve(clean, [area.numbers() for area in found]) == found
    jobs.write_areas(tmp_path / "a.png", found)
    assert jobs.read_areas(tmp_path / "a.png") == [Area.of(area.numbers()) for area in found]


def test_a_search_that_is_interrupted_says_what_it_has_found(monkeypatch, capsys):
    area = ResolvedArea(16, 24, 48, 40, 8)

    def find(image, watch):
        watch(0.5, [Found(area, 8.0, True)])
        raise KeyboardInterrupt

    monkeypatch.setattr("depixel.detection.search.find", find)
    with pytest.raises(KeyboardInterrupt):
        jobs.find_areas(Path("a.png"), Picture(noise(120, 140), "PNG"))
    assert capsys.readouterr().err == "a.png: found so far: --area 16,24,48,40,8\n"


def test_what_is_certain_is_restored_and_hints_are_what_to_type(monkeypatch):
    shown = pixelate(noise(120, 140), [(16, 24, 48, 40, 8)])
    area = ResolvedArea(16, 24, 48, 40, 8)
    found = [Found(ResolvedArea(70, 20, 30, 30, 6), 90.0, True), Found(area, 80.0, True)]
    monkeypatch.setattr("depixel.detection.search.find", lambda image, watch: found)
    assert jobs.find_areas(Path("a.png"), Picture(shown, "PNG")) == [found[0].area, area]
    found[:] = [one._replace(certain=False) for one in found]
    found.append(Found(replace(area, offset_y=3), 80.0, certain=False))
    found.append(Found(ResolvedArea(8, 72, 8, 8, 2), 65.0, certain=False))  # too small to be told
    found.append(Found(area, 9.0, certain=False))
    perhaps = (
        r"certainly pixelated\. If you see blocks there, try --area 70,20,30,30,6 --ignore-check; "
        r"or --area 16,24,48,40,8 --ignore-check; or --area 16,24,48,40,8,0,3 --ignore-check\. If you see another"
    )
    with pytest.raises(DepixelError, match=perhaps):
        jobs.find_areas(Path("a.png"), Picture(shown, "PNG"))
    del found[:3]
    with pytest.raises(
        DepixelError, match=r"^a\.png: nothing looks pixelated\. If you see an area, name it: --area X,Y"
    ):
        jobs.find_areas(Path("a.png"), Picture(shown, "PNG"))


@pytest.mark.usefixtures("detector")
def test_where_no_area_is_certain_nothing_is_restored():
    with pytest.raises(DepixelError, match=r"^a\.png: (no area is certainly|nothing looks) pixelated"):
        jobs.find_areas(Path("a.png"), Picture(noise(120, 140), "PNG"))


def test_a_picture_that_is_named_twice_is_one(folder, monkeypatch):
    monkeypatch.chdir(folder / "in")
    assert planned(["a.png", "*.png"], folder / "out") == [("a.png", "a.png", "")]
    (folder / "in/other").mkdir()
    (folder / "in/other/a.png").write_text("another one")
    assert "another picture" in planned(["a.png", "other/a.png"], folder / "out")[1][2]


def test_a_list_without_areas_is_told(tmp_path):
    (tmp_path / "a.png.areas.json").write_text('{"areas": []}')
    with pytest.raises(DepixelError, match=r"a\.png\.areas\.json: lists no area"):
        jobs.read_areas(tmp_path / "a.png")
