# ruff: noqa: F401, F811  (fixtures come from browsers.py)
"""The page of `depixel serve` for eyes and keys: axe finds nothing in any state, in any color or size."""

import shutil

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.web.browsers import (
    DESKTOP,
    PHONE,
    browser,
    choose,
    choose_all,
    expect,
    only_chromium,
    opened,
    restored_page,
    shown_file,
)
from tests.web.conftest import file_of, long_search

pytestmark = pytest.mark.usefixtures("one_thread")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


def faults(page) -> list[str]:
    found = axe.Axe().run(page, options=RULES).response["violations"]
    return [f"{one['id']}: {node['html'][:150]}" for one in found for node in one["nodes"]]


def empty(page):
    page.wait_for_selector("#samples img")


def loaded(page):
    choose_all(page, {"a.png": shown_file(), "b.png": shown_file(), "c.png": b"no picture"})


def found(page):
    choose(page, shown_file())
    page.click("#find")
    expect(page.locator("#told")).to_contain_text("One area found")
    page.click("#tool-brush")


def searching(page):
    choose(page, long_search(), "long.jpg")
    page.click("#find")
    expect(page.locator("#task")).to_be_visible()


def result(page):
    restored_page(page)


def unsure(page):
    restored_page(page)
    page.click("#mode-doubt")
    page.wait_for_selector("#doubt-bar:visible")


def error(page):
    choose(page, b"no picture", "notes.png")
    page.wait_for_selector("#problem:visible")


def nothing(page):
    choose(page, file_of(np.linspace(0, 255, 160 * 120).reshape(120, 160).astype(np.uint8)))
    page.click("#find")
    expect(page.locator("#next")).to_be_visible()


def all_restored(page):
    loaded(page)
    page.click("#restore-all")
    expect(page.locator("#pictures [data-status=failed]")).to_be_visible(timeout=30_000)


def runs(page):
    page.click("#tab-runs")
    page.wait_for_selector("table")
    expect(page.locator("#runs-task")).to_be_hidden(timeout=30_000)


STATES = [empty, loaded, found, searching, result, unsure, error, nothing, all_restored, runs]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_nothing(opened, browser, state, scheme, tmp_path, monkeypatch):
    """axe is told as a string to the browser's debugger, so the page's policy stays as it is."""
    if scheme == "dark":
        only_chromium(browser, "this Firefox lets nobody choose colors")
    (tmp_path / "metrics").mkdir()
    shutil.copy(REPOSITORY / "metrics/comparison.csv", tmp_path / "metrics")
    monkeypatch.chdir(tmp_path)
    page = opened(color_scheme=scheme)
    state(page)
    assert faults(page) == []


@pytest.mark.parametrize("state", [empty, found, result, all_restored], ids=lambda state: state.__name__)
def test_axe_finds_nothing_on_a_phone_and_nothing_sticks_out(opened, browser, state):
    only_chromium(browser, "Playwright has no phones in Firefox")
    page = opened(PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    state(page)
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_at_200_percent_all_can_be_reached(opened):
    """A window of 1280 x 900 that is enlarged twice has half as many pixels of CSS."""
    page = opened({"width": DESKTOP["width"] // 2, "height": DESKTOP["height"] // 2})
    restored_page(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults(page) == []


def test_focus_is_seen_wherever_it_goes_and_follows_the_page(opened):
    page = opened()
    restored_page(page)
    page.click("h1")  # keys begin there
    places, seen = [], set()
    for _ in range(60):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """() => { const e = document.activeElement; if (!e || e === document.body) return null;
            const s = getComputedStyle(e), n = e.nextElementSibling && getComputedStyle(e.nextElementSibling);
            const all = [...document.querySelectorAll("*")];
            return [e.id || e.textContent.trim() || e.getAttribute("aria-label"), all.indexOf(e),
              s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || e.matches(".hidden")]; }"""
        )
        if told is None or told[1] in seen:
            break
        seen.add(told[1])
        assert told[2], f"{told[0]} has the focus, and nobody sees it"
        places.append(told[1])
    assert len(places) > 20 and places == sorted(places)


def test_forced_colors_keep_every_choice_visible(opened, browser):
    only_chromium(browser, "this Firefox lets nobody choose colors")
    page = opened(forced_colors="active")
    restored_page(page)
    for id_ in ("#mode-compare", "#tab-restore"):
        assert page.locator(id_).evaluate("(e) => getComputedStyle(e).outlineStyle") == "solid"
    assert faults(page) == []


def test_tabs_are_turned_by_arrow_keys(opened, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = opened()
    page.locator("#tab-restore").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#runs-page")).to_be_visible()
    expect(page.locator("#tab-runs")).to_be_focused()
    page.keyboard.press("Home")
    expect(page.locator("#drop")).to_be_visible()
