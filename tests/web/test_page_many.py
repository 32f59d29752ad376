# ruff: noqa: F401, F811  (fixtures come from browsers.py)
"""Several pictures in the page of `depixel serve`: opened, seen in the strip, restored at once and kept in a ZIP."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from depixel.pictures.pixels import pixelate
from tests.pictures.test_restorer import photo
from tests.web.browsers import (
    AREA,
    browser,
    choose,
    choose_all,
    download,
    drag,
    expect,
    numbers,
    only_chromium,
    opened,
    restored_page,
    shown,
    shown_file,
)
from tests.web.conftest import file_of

pytestmark = pytest.mark.usefixtures("one_thread")
SMOOTH = file_of(np.linspace(0, 255, 160 * 120).reshape(120, 160).astype(np.uint8))


def place_of(number: int) -> tuple[int, ...]:
    return (8 * (number % 8), 16, 64, 48, 8)


def statuses(page) -> list[str]:
    return [item.get_attribute("data-status") for item in page.locator("#pictures li").all()]


def test_twenty_pictures_are_restored_and_come_back_in_a_zip(opened, restorer):
    page = opened()
    images = [pixelate(photo(120, 160, seed=number), [place_of(number)]) for number in range(18)]
    files = {f"photo-{number:02}.png": file_of(image) for number, image in enumerate(images)}
    choose_all(page, files | {"smooth.png": SMOOTH, "broken.png": b"no picture"})
    expect(page.locator("#pictures li")).to_have_count(20)
    expect(page.locator("#strip-told")).to_have_text("20 pictures, 0 restored")
    page.select_option("#views", "1")
    page.click("#restore-all")
    expect(page.locator("#batch-task .what")).to_contain_text("%")
    expect(page.locator("#batch-task")).to_be_hidden(timeout=60_000)
    assert statuses(page) == ["restored"] * 18 + ["nothing", "failed"]
    expect(page.locator("#told")).to_have_text("18 restored. 2 need a look: open them in the strip.")
    with page.expect_download() as waiting:
        page.click("#download-all")
    assert waiting.value.suggested_filename == "depixel-restored.zip"
    with zipfile.ZipFile(waiting.value.path()) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == [f"photo-{number:02}-restored.png" for number in range(18)]
        for number, image in enumerate(images):
            made = np.asarray(Image.open(io.BytesIO(packed.read(f"photo-{number:02}-restored.png"))))
            np.testing.assert_array_equal(made, restorer.restore(image, [place_of(number)]))
    page.get_by_role("button", name="broken.png failed").click()
    expect(page.locator("#problem")).to_contain_text("not a picture")


def test_hands_work_in_one_picture_while_all_are_restored(opened, restorer):
    """What they draw is kept, and a picture that was closed is left out."""
    page = opened()
    choose_all(page, {f"{name}.png": shown_file() for name in "abc"} | {"smooth.png": SMOOTH})
    page.get_by_role("button", name="smooth.png", exact=True).click()
    expect(page.locator("#told")).to_contain_text("smooth.png")
    page.get_by_role("button", name="Close c.png").click()
    page.click("#restore-all")
    drag(page, (10, 10, 60, 60))
    expect(page.locator("#batch-task")).to_be_hidden(timeout=30_000)
    expect(page.locator("#areas .area")).to_have_count(1)
    assert statuses(page)[:2] == ["restored", "restored"]
    page.get_by_role("button", name="b.png restored").click()
    page.wait_for_selector("#compare-bar:visible")
    page.click("#mode-areas")
    assert numbers(page) == [list(map(str, AREA))]


def test_restoring_all_is_canceled_and_what_is_done_stays(opened):
    page = opened()
    choose_all(page, {f"{number}.png": shown_file() for number in range(12)})
    page.click("#restore-all")
    expect(page.locator("#pictures [data-status=restored]").first).to_be_visible()
    page.click("#batch-task button")
    expect(page.locator("#batch-task")).to_be_hidden()
    done = statuses(page).count("restored")
    assert 0 < done < 12 and set(statuses(page)) <= {"restored", "new"}
    page.click("#restore-all")
    expect(page.locator("#strip-told")).to_have_text("12 pictures, 12 restored", timeout=30_000)


def test_each_picture_keeps_its_areas_and_its_result(opened):
    page = opened()
    restored_page(page, name="first.png")
    choose(page, SMOOTH, "second.png")
    expect(page.locator("#pictures li")).to_have_count(2)
    expect(page.locator("#areas .area")).to_have_count(0)
    page.get_by_role("button", name="first.png restored").click()
    page.wait_for_selector("#compare-bar:visible")
    assert download(page)[0] == "first-restored.png"
    page.get_by_role("button", name="Close first.png").click()
    expect(page.locator("#told")).to_contain_text("second.png")
    expect(page.locator("#strip")).to_be_hidden()


def test_a_folder_is_chosen_with_the_areas_of_its_pictures(opened, browser, tmp_path):
    only_chromium(browser, "Firefox takes no folders from a test")
    (tmp_path / "photos/inner").mkdir(parents=True)
    (tmp_path / "photos/a.png").write_bytes(shown_file())
    (tmp_path / "photos/inner/b.png").write_bytes(shown_file())
    (tmp_path / "photos/inner/b.png.areas.json").write_text(json.dumps({"areas": [[40, 24, 32, 48, 8]]}))
    (tmp_path / "photos/notes.txt").write_text("no picture")
    page = opened()
    page.set_input_files("#folder", tmp_path / "photos")
    expect(page.locator("#pictures li")).to_have_count(2)
    page.get_by_role("button", name="b.png", exact=True).click()
    expect(page.locator("#told")).to_contain_text("b.png: 160")
    assert numbers(page) == [["40", "24", "32", "48", "8"]]


def test_areas_are_saved_as_the_command_line_reads_them_and_loaded_again(opened, tmp_path):
    page = opened()
    choose(page, shown_file(), "mine.png")
    page.click("#find")
    page.wait_for_selector("#areas .area")
    with page.expect_download() as waiting:
        page.click("#download-areas")
    assert waiting.value.suggested_filename == "mine.png.areas.json"
    text = waiting.value.path().read_text()
    assert json.loads(text) == {"areas": [list(AREA)]}
    page.click("#clear")
    choose(page, text.encode(), "mine.png.areas.json")
    expect(page.locator("#told")).to_contain_text("One area loaded")
    assert numbers(page) == [list(map(str, AREA))]
    choose(page, b"{}", "other.json")
    expect(page.locator("#problem")).to_contain_text("no file of areas")
