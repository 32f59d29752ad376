# ruff: noqa: F401, F811  (fixtures come from browsers.py)
"""The page of `depixel serve` at work, long tasks are seen and stopped, and hands change areas."""

import numpy as np
import pytest
from PIL import Image

from depixel.pictures.pixels import pixelate
from tests.pictures.test_restorer import photo
from tests.web.browsers import AREA, browser, choose, drag, expect, numbers, opened, shown, stroke, write
from tests.web.conftest import file_of, long_search
from tests.web.test_jobs import rested

pytestmark = pytest.mark.usefixtures("one_thread", "detector")


def searching(page):
    """The page in a search that takes long."""
    choose(page, long_search(), "long.jpg")
    page.wait_for_selector("#work:visible")
    page.click("#find")


def test_a_task_is_seen_at_once_and_tells_how_far_it_is(opened):
    page = opened()
    searching(page)
    assert page.locator("#task").is_visible()
    frames = page.evaluate(
        """async () => { document.querySelector("#task button").click();
        document.querySelector("#find").disabled = false; await new Promise(requestAnimationFrame);
        await new Promise((done) => setTimeout(done, 100)); document.querySelector("#find").click();
        for (var frames = 0; document.querySelector("#task").hidden; frames++) await new Promise(requestAnimationFrame);
        return frames; }"""
    )
    assert frames < 12
    expect(page.locator("#task .what")).to_contain_text("%", timeout=30_000)
    page.click("#task button")


def test_a_canceled_search_ends_on_the_page_and_on_the_server(opened):
    page = opened()
    searching(page)
    expect(page.locator("#task .what")).to_contain_text("%", timeout=30_000)
    page.click("#task button")
    expect(page.locator("#task")).to_be_hidden(timeout=30_000)
    expect(page.locator("#told")).to_have_text("Cancelled.")
    expect(page.locator("#find")).to_be_enabled()
    assert rested()


@pytest.mark.parametrize("moment", [0, 20, 50, 100, 200, 400, 800, 1500, 2500, 4000])
def test_a_new_picture_ends_the_search_in_the_old_one(opened, moment):
    """Nothing of the old search reaches the new picture, which can be used at once."""
    page = opened()
    searching(page)
    page.wait_for_timeout(moment)
    choose(page, file_of(shown()), "new.png")
    expect(page.locator("#told")).to_contain_text("160 × 120 pixels", timeout=30_000)
    assert numbers(page) == []
    page.click("#find")
    expect(page.locator("#told")).to_contain_text("One area found", timeout=30_000)
    page.wait_for_timeout(500)
    assert numbers(page) == [list(map(str, AREA))]
    assert page.locator("#problem").is_hidden()
    assert rested()


def test_an_area_is_moved_resized_removed_undone_and_redone(opened):
    page = opened()
    choose(page, file_of(np.full((120, 160, 3), 90, np.uint8)))
    page.wait_for_selector("#work:visible")
    drag(page, (40, 40, 40, 40))
    expect(page.locator("#areas .area")).to_have_count(1)
    expect(page.locator("#told")).not_to_contain_text("Looking", timeout=30_000)
    write(page, "left of area 1", 40)
    canvas = page.locator("#canvas")
    canvas.focus()
    canvas.press("ArrowRight")
    canvas.press("Shift+ArrowDown")
    expect(page.get_by_label("left of area 1")).to_have_value("41")
    place = [int(number) for number in numbers(page)[0][:4]]
    before = [*place]
    assert place == [41, 50, 40, 40]
    _from_to(page, (place[0] + place[2] / 2, place[1] + place[3] / 2), (10, -5))
    place[0], place[1] = place[0] + 10, place[1] - 5
    expect(page.get_by_label("left of area 1")).to_have_value(str(place[0]))
    assert [int(number) for number in numbers(page)[0][:4]] == place
    _from_to(page, (place[0] + place[2], place[1] + place[3]), (8, 6))  # the handle at its lower right corner
    expect(page.get_by_label("width of area 1", exact=True)).to_have_value(str(place[2] + 8))
    assert int(numbers(page)[0][3]) == place[3] + 6
    page.click("#undo")
    page.click("#undo")
    expect(page.get_by_label("left of area 1")).to_have_value(str(before[0]))
    page.click("#redo")
    expect(page.get_by_label("left of area 1")).to_have_value(str(place[0]))
    canvas.focus()
    canvas.press("Enter")
    canvas.press("Delete")
    expect(page.locator("#areas .area")).to_have_count(0)
    canvas.press("Control+z")
    expect(page.locator("#areas .area")).to_have_count(1)


def _from_to(page, place: tuple[float, float], by: tuple[float, float]):
    """Drag a place of the picture, 160 x 120, with the mouse."""
    x, y = place
    stroke(page, place, (x + by[0] / 2, y + by[1] / 2), (x + by[0], y + by[1]))


def test_an_area_is_added_without_a_mouse_and_its_block_has_two_sides(opened, restorer):
    image = pixelate(photo(120, 160), [(40, 24, 64, 48, "16x8")])
    page = opened()
    choose(page, file_of(image))
    page.wait_for_selector("#work:visible")
    page.click("#add")
    for name, value in (
        ("left", 40),
        ("top", 24),
        ("width", 64),
        ("height", 48),
        ("block width", 16),
        ("block height", 8),
    ):
        write(page, f"{name} of area 1", value)
    page.select_option("#views", "1")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    with page.expect_download() as waiting:
        page.click("#download")
    expected = restorer.restore(image, [(40, 24, 64, 48, "16x8")])
    np.testing.assert_array_equal(np.asarray(Image.open(waiting.value.path())), expected)
