# ruff: noqa: F401, F811  (fixtures come from browsers.py)
"""Results in the page of `depixel serve`: kept, copied, compared; and what to do where there is none."""

import io

import numpy as np
import pytest
from PIL import Image

from depixel.pictures.pixels import pixelate
from tests.pictures.test_restorer import photo
from tests.web.browsers import (
    AREA,
    browser,
    choose,
    download,
    drag,
    expect,
    numbers,
    on_canvas,
    only_chromium,
    opened,
    restored_page,
    shown,
    shown_file,
    write,
)
from tests.web.conftest import Models, exif, file_of, pixelated, running

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_result_is_kept_in_its_own_format_and_as_png(opened, restorer):
    page = restored_page(opened(), file_of(shown(), "WEBP", lossless=True), "holiday.webp")
    expected = restorer.restore(shown(), [AREA])
    for button, name in (("#download", "holiday-restored.webp"), ("#download-png", "holiday-restored.png")):
        told, pixels = download(page, button)
        assert told == name
        np.testing.assert_array_equal(pixels, expected)


def test_a_comparison_has_before_and_after_side_by_side(opened, restorer):
    page = restored_page(opened())
    name, pixels = download(page, "#download-comparison")
    assert name == "photo-comparison.png"
    assert pixels.shape[1] > 2 * pixels.shape[0] * 0.8
    left, right = pixels[:, : pixels.shape[1] // 2], pixels[:, pixels.shape[1] // 2 :]
    assert np.abs(left[:, : right.shape[1]].astype(int) - right[:, : left.shape[1]]).mean() > 1


def test_a_result_is_copied_and_pasted_as_a_screenshot_is(opened, browser, restorer):
    only_chromium(browser, "Firefox lets no test use the clipboard")
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    restored_page(page)
    page.click("#copy")
    expect(page.locator("#told")).to_contain_text("on the clipboard")
    page.keyboard.press("Control+v")
    expect(page.locator("#pictures li")).to_have_count(2)
    expect(page.locator("#told")).to_contain_text("screenshot 20")
    again = page.evaluate(
        """async () => { const [item] = await navigator.clipboard.read();
        return [...new Uint8Array(await (await item.getType("image/png")).arrayBuffer())]; }"""
    )
    pixels = np.asarray(Image.open(io.BytesIO(bytes(again))))[:, :, :3]
    np.testing.assert_array_equal(pixels, restorer.restore(shown(), [AREA]))


def test_the_browsers_menu_is_about_the_restored_picture(opened):
    page = restored_page(opened())
    page.evaluate(
        """addEventListener("contextmenu", (event) => { window.about = [event.target.src || "", event.defaultPrevented];
        event.preventDefault(); })"""
    )
    page.mouse.click(*on_canvas(page)(80, 60), button="right")
    source, prevented = page.evaluate("window.about")
    assert source == page.locator("#download").get_attribute("href") and not prevented


def test_a_key_or_a_button_that_is_held_shows_the_picture_before(opened):
    page = restored_page(opened())
    page.locator("#divider").fill("0")
    after = colors(page)
    page.locator("#canvas").focus()
    page.keyboard.down("b")
    before = colors(page)
    page.keyboard.up("b")
    assert colors(page) == after != before
    box = page.locator("#hold").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    assert colors(page) == before
    page.mouse.up()
    assert colors(page) == after


def colors(page) -> list[int]:
    return page.evaluate(
        """async () => { for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
        const c = document.querySelector('#canvas');
        const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
        const sums = [0, 0, 0, 0];
        data.forEach((value, i) => { sums[i % 4] += value * (1 + i % 997); }); return sums; }"""
    )


def test_the_thumb_lies_on_the_line(opened):
    page = restored_page(opened())
    canvas = page.locator("#canvas").bounding_box()
    for share in (0.0, 0.1, 0.5, 0.98):
        page.mouse.click(canvas["x"] + max(canvas["width"] * share, 1), canvas["y"] + 40)
        row = page.locator("#divider").bounding_box()
        thumb = 1.6 * 16
        value = float(page.locator("#divider").input_value()) / 100
        middle = row["x"] + thumb / 2 + value * (row["width"] - thumb)
        assert abs(middle - (canvas["x"] + canvas["width"] * share)) < 4


def test_where_nothing_is_found_the_next_step_is_a_button(opened):
    page = opened()
    choose(page, file_of(np.linspace(0, 255, 160 * 120).reshape(120, 160).astype(np.uint8)), "smooth.png")
    page.click("#find")
    expect(page.locator("#told")).to_contain_text("Nothing found")
    page.get_by_role("button", name="Add an area").last.click()
    expect(page.locator("#areas .area")).to_have_count(1)
    expect(page.locator("#canvas")).to_be_focused()


def test_a_picture_too_large_for_a_search_gets_its_next_step(opened):
    page = opened()
    choose(page, file_of(np.zeros((3700, 3700), np.uint8)), "large.png")
    page.click("#find")
    expect(page.locator("#problem")).to_contain_text("draw them roughly", timeout=30_000)
    page.click("#mend")
    expect(page.locator("#areas .area")).to_have_count(1)
    expect(page.locator("#problem")).to_be_hidden()


def test_blocks_that_the_pixels_contradict_are_restored_anyway(opened, restorer):
    page = opened()
    choose(page, shown_file())
    page.click("#find")
    page.wait_for_selector("#areas .area")
    page.select_option("#views", "1")
    write(page, "block width of area 1", 16)
    page.click("#restore")
    expect(page.locator("#problem")).to_contain_text("shows blocks of 8 pixels, not of 16")
    assert "ignore" not in page.locator("#problem").inner_text()
    page.get_by_role("button", name="Restore anyway").click()
    page.wait_for_selector("#compare-bar:visible")
    expected = restorer.restore(shown(), [(*AREA[:4], 16)], ignore_check=True)
    np.testing.assert_array_equal(download(page)[1], expected)


def test_an_area_says_whether_it_is_certain_and_why_not(opened):
    page = opened()
    choose(page, shown_file())
    page.click("#find")
    expect(page.locator(".said")).to_have_text("Certain. ")
    faint = file_of(pixelate(photo(160, 200), [(41, 43, 20, 15, 5)]), "JPEG", quality=40)
    choose(page, faint, "few.jpg")
    page.click("#find")
    expect(page.locator("#told")).to_contain_text("not sure: ", timeout=30_000)


def test_a_model_and_its_time_are_chosen(browser, restorer):
    """Two models, of which the second leaves everything as it is."""

    class Same:
        def predict_windows(self, windows, areas, views=()):
            return windows

    models = Models(["tiny", "folder/mine.onnx"], lambda name: restorer if name == "tiny" else type(restorer)(Same()))
    models.probe()
    with running(models) as url:
        page = browser.new_page()
        page.goto(url)
        choose(page, shown_file())
        page.click("#find")
        page.wait_for_selector("#areas .area")
        expect(page.locator("#model option")).to_have_text(["tiny: your own", "mine: your own"])
        expect(page.locator("#expected")).to_contain_text("This takes about")
        page.select_option("#model", "mine")
        page.select_option("#views", label="fast")
        page.click("#restore")
        page.wait_for_selector("#compare-bar:visible")
        own = download(page)[1]
        page.select_option("#model", "tiny")
        page.click("#restore")
        expect(page.locator("#task")).to_be_visible()
        expect(page.locator("body")).to_have_attribute("aria-busy", "false")
        assert (download(page)[1] != own).any()
        page.close()
