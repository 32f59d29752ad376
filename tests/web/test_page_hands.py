# ruff: noqa: F401, F811  (fixtures come from browsers.py)
"""Hands in the page of `depixel serve`: brush and eraser, the grid that an area snaps to, zoom by wheel and fingers."""

import numpy as np
import pytest

from depixel.areas.area import Area
from depixel.pictures.pixels import pixelate
from tests.pictures.test_restorer import photo
from tests.web.browsers import (
    AREA,
    PHONE,
    browser,
    choose,
    download,
    drag,
    expect,
    numbers,
    on_canvas,
    only_chromium,
    opened,
    shown,
    shown_file,
    stroke,
)
from tests.web.conftest import file_of

pytestmark = pytest.mark.usefixtures("one_thread")


def pixel(page, x: float, y: float, size=(160, 120)) -> list[int]:
    """The color of the canvas at a place of the picture, while all of it is seen."""
    return page.evaluate(
        """async ([x, y, wide, high]) => { for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
        const c = document.querySelector('#canvas'), s = Math.min(c.width / wide, c.height / high);
        const left = (c.width - wide * s) / 2, top = (c.height - high * s) / 2;
        return [...c.getContext('2d').getImageData(left + x * s, top + y * s, 1, 1).data.slice(0, 3)]; }""",
        [x, y, *size],
    )


def test_what_is_painted_snaps_to_whole_blocks_and_is_restored(opened, restorer):
    """A stroke along the upper row of blocks; the blocks below stay as they are."""
    page = opened()
    choose(page, shown_file())
    page.click("#tool-brush")
    page.locator("#brush-size").fill("60")
    stroke(page, (47, 31), (70, 31), (95, 31))
    expect(page.get_by_label("block width of area 1")).to_have_value("8")
    x, y, width, height, block = (int(number) for number in numbers(page)[0])
    assert (x % 8, y % 8, width % 8, height % 8, block) == (0, 0, 0, 0, 8)
    assert 40 <= x <= 48 and y == 24 and height in (8, 16) and x + width <= 104
    page.select_option("#views", "1")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    changed = (download(page)[1] != shown()).any(axis=2)
    assert changed[y : y + height, x : x + width].mean() > 0.5
    changed[y : y + height, x : x + width] = False
    assert not changed.any()


def test_the_eraser_takes_away_from_an_area(opened):
    page = opened()
    choose(page, shown_file())
    page.click("#tool-eraser")
    stroke(page, (50, 50), (60, 50))
    expect(page.locator("#told")).to_contain_text("Select the area first")
    page.click("#find")
    expect(page.locator("#told")).to_contain_text("One area found.")
    page.locator("#areas input").first.focus()
    page.locator("#brush-size").fill("80")
    stroke(page, (40, 24), (44, 26))  # a corner
    expect(page.locator(".said")).to_contain_text("Painted shape.")
    page.select_option("#views", "1")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    changed = (download(page)[1] != shown()).any(axis=2)
    assert not changed[24:32, 40:48].any() and changed[24:72, 56:104].mean() > 0.5


def test_a_rough_area_moves_visibly_to_the_grid_that_is_found(opened):
    page = opened()
    choose(page, shown_file())
    page.evaluate(
        """() => { window.seen = new Set(); const pen = document.querySelector("#canvas").getContext("2d");
        const draw = pen.strokeRect; pen.strokeRect = function (x, ...more) { window.seen.add(Math.round(x * 10));
        return draw.call(this, x, ...more); }; }"""
    )
    drag(page, (33, 18, 78, 60))
    page.evaluate("window.seen.clear()")
    expect(page.get_by_label("block width of area 1")).to_have_value("8")
    page.wait_for_timeout(700)
    assert page.evaluate("window.seen.size") > 20  # places on the way: the handles stand beside each
    assert numbers(page) == [list(map(str, AREA))]


def test_reduced_motion_moves_areas_at_once(opened, browser):
    only_chromium(browser, "this Firefox lets nobody choose less motion")
    page = opened(reduced_motion="reduce")
    choose(page, shown_file())
    drag(page, (37, 26, 66, 47))
    expect(page.get_by_label("block width of area 1")).to_have_value("8")
    assert pixel(page, 48.05, 40.5) != pixel(page, 44, 40.5)


def test_the_blocks_of_an_area_are_seen_as_a_grid(opened):
    page = opened()
    flat = np.full((120, 160, 3), 90, np.uint8)
    choose(page, file_of(flat))
    page.click("#add")
    for name, value in (
        ("left", 40),
        ("top", 24),
        ("width", 64),
        ("height", 48),
        ("block width", 16),
        ("block height", 12),
    ):
        field = page.get_by_label(f"{name} of area 1", exact=True)
        field.click()
        page.keyboard.press("Control+a")
        page.keyboard.type(str(value))
        page.keyboard.press("Tab")
    inside = [90, 90, 90]
    row = [pixel(page, 40 + x / 8, 30)[0] for x in range(80, 160)]
    lines = [(i + 80) / 8 for i, value in enumerate(row) if value > 100]
    assert pixel(page, 44, 30) == inside
    assert 1 <= len(lines) <= 3 and abs(lines[0] - 16) < 0.5


def test_the_wheel_enlarges_around_the_mouse_and_space_moves(opened):
    page = opened()
    choose(page, shown_file())
    at = on_canvas(page)
    page.mouse.move(*at(72, 48))
    before = pixel(page, 10, 10)
    for _ in range(4):
        page.mouse.wheel(0, -240)
    page.wait_for_timeout(200)
    # the place under the mouse stays: a rectangle that is drawn around it is small, and there
    x, y = at(72, 48)
    page.mouse.move(x - 60, y - 60)
    page.mouse.down()
    page.mouse.move(x, y)
    page.mouse.move(x + 60, y + 60)
    page.mouse.up()
    expect(page.locator("#areas .area")).to_have_count(1)
    left, top, width, height = (int(page.locator("#areas input").nth(i).input_value()) for i in range(4))
    assert max(width, height) < 15 and abs(left + width / 2 - 72) <= 1 and abs(top + height / 2 - 48) <= 1
    page.locator("#canvas").focus()
    page.keyboard.press("0")
    assert pixel(page, 10, 10) == before
    page.click("#zoom-one")
    page.click("#zoom-all")
    assert pixel(page, 10, 10) == before
    for _ in range(3):
        page.click("#zoom-in")
    page.keyboard.press("Escape")
    page.locator("#canvas").focus()
    moved = page.locator("#canvas").screenshot()
    page.keyboard.down(" ")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y + 40)
    page.mouse.up()
    page.keyboard.up(" ")
    expect(page.locator("#areas .area")).to_have_count(1)
    assert page.locator("#canvas").screenshot() != moved


def test_a_small_picture_lets_the_page_scroll_under_the_wheel(opened):
    page = opened({"width": 1000, "height": 420})
    choose(page, shown_file())
    page.mouse.move(*on_canvas(page)(80, 60))
    for _ in range(12):  # it is shrunk to 1:1 first
        page.mouse.wheel(0, 200)
        page.wait_for_timeout(50)
    assert page.evaluate("scrollY") > 0


def test_a_phone_restores_with_one_finger_and_sees_the_result(opened, browser):
    only_chromium(browser, "Playwright has no fingers in Firefox")
    page = opened(PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    choose(page, shown_file())
    page.locator("#find").tap()
    expect(page.locator("#told")).to_contain_text("One area found", timeout=20_000)
    page.select_option("#views", "1")
    page.locator("#restore").tap()
    page.wait_for_selector("#compare-bar:visible")
    page.wait_for_timeout(300)
    box = page.locator("#canvas").bounding_box()
    assert box["y"] >= -1 and box["y"] + box["height"] <= PHONE["height"] + 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#clear").tap()
    page.locator("#pixelate").evaluate("(button) => { button.closest('details').open = true; }")
    page.locator("#pixelate").tap()
    alert = page.locator("#problem")
    expect(alert).to_be_visible()
    page.wait_for_timeout(300)
    place = alert.bounding_box()
    assert place["y"] >= 0 and place["y"] + place["height"] <= PHONE["height"]
