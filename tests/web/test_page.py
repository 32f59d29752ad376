# ruff: noqa: F401, F811  (fixtures come from browsers.py)
"""The page of `depixel serve` in a real browser: from a picture to its restoration."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.pictures.pixels import LUMINANCE, pixelate
from depixel.pictures.restorer import Restorer
from tests.conftest import REPOSITORY
from tests.pictures.test_restorer import photo
from tests.web.browsers import (
    AREA,
    DESKTOP,
    PHONE,
    browser,
    choose,
    download,
    drag,
    expect,
    numbers,
    only_chromium,
    opened,
    shown,
    write,
)
from tests.web.conftest import exif, file_of, running

pytestmark = pytest.mark.usefixtures("one_thread")


def test_choose_draw_restore_compare_download(opened, restorer):
    page = opened()
    assert page.locator("#steps").is_hidden()
    assert "It is not the truth" in page.locator("aside").inner_text()
    assert "identify people" in page.locator("aside").inner_text()
    choose(page, file_of(shown()))
    page.wait_for_selector("#work:visible")
    drag(page, (37, 26, 66, 47))  # roughly; it moves to the blocks
    expect(page.get_by_label("block width of area 1")).to_have_value("8")
    assert numbers(page) == [list(map(str, AREA))]
    page.select_option("#views", "2")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    assert "guess" in page.locator("#told").inner_text()

    before = page.locator("#canvas").screenshot()
    page.locator("#divider").fill("90")
    after = page.locator("#canvas").screenshot()
    assert before != after
    box = page.locator("#canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + 50)
    assert abs(int(page.locator("#divider").input_value()) - 25) <= 1

    name, pixels = download(page)
    assert name == "photo-restored.png"
    np.testing.assert_array_equal(pixels, restorer.restore(shown(), [AREA], 2))


def test_what_is_left_of_the_line_is_the_pixelated_picture_and_what_is_right_the_restored_one(opened, restorer):
    page = opened()
    choose(page, file_of(shown()))
    page.click("#find")
    page.wait_for_selector("#areas .area")
    page.select_option("#views", "1")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    restored = restorer.restore(shown(), [AREA], 1)
    for share, expected in ((100, shown()), (0, restored)):
        page.locator("#divider").fill(str(share))
        page.click("#zoom-all")
        (red, green, blue) = page.evaluate(
            """async () => { await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
            const c = document.querySelector('#canvas'), s = Math.min(c.width / 160, c.height / 120);
            const x = (c.width - 160 * s) / 2 + 70.5 * s, y = (c.height - 120 * s) / 2 + 40.5 * s;
            return [...c.getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3)]; }"""
        )
        assert (red, green, blue) == tuple(expected[40, 70].tolist())


def test_where_it_is_unsure_is_shown(opened):
    page = opened()
    choose(page, file_of(shown()))
    page.click("#find")
    page.wait_for_selector("#areas .area")
    page.click("#restore")
    page.wait_for_selector("#mode-doubt:enabled")
    compared = page.locator("#canvas").screenshot()
    page.click("#mode-doubt")
    page.wait_for_selector("#doubt-bar:visible")
    assert re.search(r"by up to \d+\.\d gray levels", page.locator("#told").inner_text())
    assert "not by how much" in page.locator("#told").inner_text()
    assert page.locator("#canvas").screenshot() != compared
    page.click("#mode-areas")
    expect(page.locator("#doubt-bar")).to_be_hidden()


def test_a_clean_photo_is_pixelated_restored_and_compared_with_what_was_there(opened, restorer):
    page = opened()
    choose(page, file_of(photo(120, 160)), "clean.png")
    page.wait_for_selector("#work:visible")
    page.click("summary")
    page.click("#pixelate")
    assert "Draw an area" in page.locator("#problem").inner_text()
    drag(page, (40, 30, 60, 50))
    page.wait_for_selector("#areas .area")
    area = (*(int(n) for n in numbers(page)[0][:4]), 10)
    write(page, "Side of a block", 10)
    page.click("#pixelate")
    expect(page.locator("#told")).to_contain_text("blocks of 10")
    page.select_option("#views", "1")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    truth, pixelated = photo(120, 160).astype(float), pixelate(photo(120, 160), [area])
    x, y, width, height, _ = area
    off = [
        np.sqrt((((made - truth) @ LUMINANCE)[y : y + height, x : x + width] ** 2).mean())
        for made in (restorer.restore(pixelated, [area]), pixelated)
    ]
    told = re.findall(r"\d+\.\d", page.locator("#told").inner_text())
    assert told == [f"{value:.1f}" for value in off]
    assert page.locator("#before-what option").all_inner_texts() == ["pixelated", "original"]


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted_also_while_runs_are_seen(opened, browser, restorer, how, tmp_path, monkeypatch):
    if how == "paste":
        only_chromium(browser, "Firefox lets no script make a clipboard")
    monkeypatch.chdir(tmp_path)  # no project: there is nothing to ask DVC
    page = opened()
    page.click("#tab-runs")
    page.evaluate(
        """([how, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "mine.png", {type: "image/png"}));
        const about = {bubbles: true, cancelable: true};
        const event = how === "drop" ? new DragEvent("drop", {dataTransfer: data, ...about})
                                     : new ClipboardEvent("paste", {clipboardData: data, ...about});
        document.body.dispatchEvent(event); }""",
        [how, list(file_of(shown()))],
    )
    page.wait_for_selector("#work:visible")
    drag(page, AREA[:4])
    expect(page.get_by_label("block width of area 1")).to_have_value("8")
    page.select_option("#views", "1")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    name, pixels = download(page)
    assert name == "mine-restored.png"
    np.testing.assert_array_equal(pixels, restorer.restore(shown(), [AREA]))


def test_a_sample_is_one_click_from_its_restoration(opened):
    page = opened()
    page.click("#samples button:nth-child(1)")
    page.wait_for_selector("#areas .area")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    assert download(page)[0] == "sample-1-restored.png"


def test_areas_are_typed_changed_and_removed(opened):
    page = opened()
    choose(page, file_of(shown()))
    page.click("#find")
    page.wait_for_selector("#areas .area")
    write(page, "left of area 1", 43)
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    assert page.get_by_label("left of area 1").input_value() == str(AREA[0])  # the area is moved to its blocks
    write(page, "left of area 1", 500)
    page.click("#restore")
    expect(page.locator("#problem")).to_contain_text("not inside the picture")
    page.get_by_label("Remove area 1").click()
    expect(page.locator("#areas .area")).to_have_count(0)


def test_the_block_size_of_an_area_is_typed(opened, restorer):
    page = opened()
    choose(page, file_of(shown()))
    page.click("#find")
    page.wait_for_selector("#areas .area")
    page.select_option("#views", "1")
    write(page, "block width of area 1", 12)
    page.click("#restore")
    expect(page.locator("#problem")).to_contain_text("shows blocks of 8 pixels, not of 12")
    assert page.locator("#download").is_hidden()
    write(page, "block width of area 1", 8)
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    assert page.locator("#problem").is_hidden()
    np.testing.assert_array_equal(download(page)[1], restorer.restore(shown(), [AREA]))


def test_the_shipped_model_brings_a_real_photo_nearer_to_what_it_was(browser):
    """Pixelated, found, restored and downloaded in the page."""
    try:
        model = Restorer.load("laptop")
    except DepixelError:
        pytest.skip("models/pretrained is not there: dvc pull models/pretrained.dvc")
    truth = np.asarray(Image.open(REPOSITORY / "docs/photo.png").convert("RGB"))
    area = (32, 24, 96, 80, 8)
    with running(model) as url:
        page = browser.new_page(viewport=DESKTOP)
        page.goto(url)
        choose(page, file_of(pixelate(truth, [area])))
        page.click("#find")
        page.wait_for_selector("#areas .area")
        assert numbers(page) == [list(map(str, area))]
        page.click("#restore")
        page.wait_for_selector("#compare-bar:visible")
        restored = download(page)[1]
        page.close()
    off = [np.sqrt(np.mean((picture.astype(float) - truth) ** 2)) for picture in (restored, pixelate(truth, [area]))]
    assert off[0] < 0.8 * off[1]


@pytest.mark.parametrize(
    ("data", "name", "problem"),
    [
        (b"no picture", "notes.png", "is text, not a picture; PNG, JPEG, WebP, TIFF,"),
        (file_of(photo(120, 160))[:2000], "cut.png", "the file is damaged"),
        (bytes(31_000_000), "huge.png", "huge.png has more than 30 MB"),
    ],
    ids=["no picture", "cut off", "huge"],
)
def test_a_wrong_file_is_told_and_the_picture_before_stays(opened, data, name, problem):
    page = opened()
    choose(page, data, name)
    page.wait_for_selector("#problem:visible")
    assert problem in page.locator("#problem").inner_text()
    assert page.locator("#drop").is_visible()
    choose(page, file_of(shown()))
    page.wait_for_selector("#work:visible")
    assert page.locator("#problem").is_hidden()
    page.click("#find")
    page.wait_for_selector("#areas .area")
    choose(page, data, name)
    page.wait_for_selector("#problem:visible")
    assert numbers(page) == [list(map(str, AREA))]


def test_a_picture_without_blocks_is_not_restored(opened):
    page = opened()
    choose(page, file_of(np.linspace(0, 255, 160 * 120).reshape(120, 160).astype(np.uint8)), "smooth.png")
    page.wait_for_selector("#work:visible")
    page.click("#restore")
    expect(page.locator("#told")).to_contain_text("Nothing found")
    assert page.locator("#download").is_hidden()


def test_blocks_that_are_cut_off_at_the_left_and_at_the_top_are_restored_as_such(opened, restorer):
    image = pixelate(photo(200, 200, None), [(20, 30, 80, 80, 16)])[35:, 27:]
    page = opened()
    choose(page, file_of(image))
    page.wait_for_selector("#work:visible")
    page.select_option("#views", "1")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    assert numbers(page) == [["0", "0", "73", "75", "16"]]
    _, pixels = download(page)
    np.testing.assert_array_equal(pixels, restorer.restore(image, [(0, 0, 73, 75, 16, 7, 5)]))


def test_a_jpeg_on_its_side_is_seen_and_restored_upright(opened):
    page = opened()
    stored = np.rot90(shown(), 1)
    choose(page, file_of(np.ascontiguousarray(stored), "JPEG", quality=98, subsampling=0, exif=exif(6)), "phone.jpg")
    page.wait_for_selector("#work:visible")
    assert "160 × 120" in page.locator("#told").inner_text()


def test_a_finger_draws_on_a_phone_and_nothing_sticks_out(opened, browser, tmp_path, monkeypatch):
    shutil.copytree(REPOSITORY / "metrics", tmp_path / "metrics")  # the widest tables; DVC, which is slow, has none
    monkeypatch.chdir(tmp_path)
    only_chromium(browser, "Playwright has no fingers in Firefox")
    page = opened(PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    choose(page, file_of(shown()))
    page.wait_for_selector("#work:visible")
    box = page.locator("#canvas").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360
    scale = box["width"] / 160
    touch = page.context.new_cdp_session(page)
    places = [(38, 25), (60, 40), (103, 73)]
    for kind, place in zip(("touchStart", "touchMove", "touchMove", "touchEnd"), [*places, None], strict=True):
        points = [{"x": box["x"] + place[0] * scale, "y": box["y"] + place[1] * scale}] if place else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page.get_by_label("block width of area 1")).to_have_value("8")
    assert numbers(page) == [list(map(str, AREA))]
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("#tab-runs")
    page.wait_for_selector("#runs-page:visible")
    page.wait_for_selector("table")
    expect(page.locator("#runs-told")).to_contain_text("No report", timeout=20_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_two_fingers_enlarge_and_draw_nothing(opened, browser):
    only_chromium(browser, "Playwright has no fingers in Firefox")
    page = opened(PHONE, has_touch=True, is_mobile=True)
    choose(page, file_of(shown()))
    page.wait_for_selector("#work:visible")
    box, touch = page.locator("#canvas").bounding_box(), page.context.new_cdp_session(page)
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.locator("#canvas").screenshot()
    for kind, apart in (("touchStart", 20), ("touchMove", 60), ("touchMove", 100), ("touchEnd", 0)):
        points = [{"x": middle[0] + side * apart, "y": middle[1], "id": i} for i, side in enumerate((-1, 1)) if apart]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert numbers(page) == []
    assert page.locator("#canvas").screenshot() != before


def test_runs_and_the_report_are_in_another_tab(opened, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics").mkdir()
    shutil.copy(REPOSITORY / "metrics/comparison.csv", tmp_path / "metrics")
    (tmp_path / "report.html").write_text(
        "<body><h1>a report</h1><script>document.body.textContent = 'ran'</script></body>", encoding="utf-8"
    )
    page = opened()
    page.click("#tab-runs")
    page.wait_for_selector("table")
    assert "ratio_mean" in page.locator("table").inner_text()
    assert page.frame_locator("iframe").locator("h1").inner_text() == "a report"
    page.click("#tab-restore")
    expect(page.locator("#drop")).to_be_visible()


def test_colors_are_those_of_the_system(opened, browser):
    only_chromium(browser, "this Firefox lets nobody choose colors")
    light, dark = (
        opened(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    )
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 24, 29)")


def test_the_buttons_can_be_reached_by_keys_and_have_names(opened):
    page = opened()
    choose(page, file_of(shown()))
    page.click("#find")
    page.wait_for_selector("#areas .area")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button:not([hidden]), input, select, #canvas, iframe')].map((e) =>
        e.getAttribute('aria-label') || e.title || e.textContent.trim() || e.labels?.length ? '' : e.outerHTML)"""
    )
    assert not any(unnamed), unnamed
    expect(page.locator("#find")).to_be_focused()  # again: while it looked, "Cancel" was
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "add"
