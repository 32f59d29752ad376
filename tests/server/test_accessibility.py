"""Every page of a challenge under axe, the checker of accessibility, wide and on a phone, light and dark."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.server.conftest import make_folder, received, serving, submission
from tests.server.test_pages import PHONE, sign_in
from tests.web.browsers import DESKTOP, browser, only_chromium  # noqa: F401  a fixture

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")

from depixel.base.errors import DepixelError  # noqa: E402
from depixel.server import exports, organising  # noqa: E402
from depixel.server.service import Service  # noqa: E402

if find_spec("axe_playwright_python") is None:
    pytest.skip("axe is not installed: pip install -e .[dev]", allow_module_level=True)
from axe_playwright_python.sync_playwright import Axe  # noqa: E402

expect = sync_api.expect
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder for pictures of the pages, to look at."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A challenge in which everything that the pages can show has happened."""
    root = make_folder(
        tmp_path_factory.mktemp("pages") / "c",
        name="Programming in Python II: the depixelation challenge",
        deadline="2040-01-01 12:00",
        time_zone="Europe/Vienna",
        blind_hours=24,
    )
    for name, off in (("identity", 20), ("laptop", 6), ("kriging", 12)):
        (root / f"private/references/{name}.bin").write_bytes(submission(root, off, seed=off))
    service = Service(root)
    names = ("Kepler", "Wilhelmine Reichard and her long-named friends", "Noether", "Gauss")
    teams = [organising.add_team(service, "Ada", name) for name in names]
    ada = organising.add_organiser(service, "command line", "Ada")
    for number, offs in ((0, (9, 5, 7)), (1, (3,)), (2, (14, 11))):
        for off in offs:
            received(service, teams[number].number, submission(root, off, seed=off))
    with pytest.raises(DepixelError):
        received(service, teams[0].number, b"\7nonsense")
    organising.give_attempts(service, "Ada", teams[0].number, 2, "the network failed")
    organising.message(service, "Ada", None, "The last lecture is about the results.")
    organising.move_deadline(service, "Ada", teams[2].number, "2040-01-02 12:00", "ill")
    organising.choose_alias(service, teams[2].number, "the rings")
    organising.disqualify(service, "Ada", teams[3].number, "two accounts")
    with serving(service) as url:
        yield service, url, teams[0].token, ada.token
    service.database.close()


def leaderboard(page, place):
    page.goto(place[1])
    expect(page.locator("#rows")).to_contain_text("Kepler")


def signing_in(page, place):
    page.goto(f"{place[1]}/team")
    sign_in(page, "team-1." + "x" * 43)
    expect(page.locator("#problem")).to_contain_text("wrong")


def team(page, place):
    page.goto(f"{place[1]}/team")
    sign_in(page, place[2])
    expect(page.locator("#submissions")).to_contain_text("5.")
    page.set_input_files("#file", {"name": "bad.bin", "mimeType": "application/octet-stream", "buffer": b"\7"})
    expect(page.locator("#answer")).to_contain_text("Not counted.")


def organisers(page, place):
    page.goto(f"{place[1]}/organiser")
    sign_in(page, place[3])
    expect(page.locator("#teams")).to_contain_text("Kepler")


def asking(page, place):
    organisers(page, place)
    page.get_by_role("button", name="Disqualify: Kepler").click()
    expect(page.locator("#ask")).to_be_visible()


def another_kind(page, place):
    team(page, place)
    page.goto(f"{place[1]}/organiser")
    expect(page.locator("#problem")).to_contain_text("You are signed in as a team")


def missing(page, place):
    page.goto(f"{place[1]}/nothing")
    expect(page.locator("body")).to_contain_text("no page")


def read_only_copy(page, place):
    service = place[0]
    organising.close(service, "Ada")
    path = service.folder.root / "leaderboard.html"
    path.write_text(exports.read_only_copy(service), encoding="utf-8")
    organising.reopen(service, "Ada")
    page.goto(path.as_uri())
    expect(page.locator("body")).to_contain_text("Kepler")


STATES = [leaderboard, signing_in, team, organisers, asking, another_kind, missing, read_only_copy]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(browser, place, state, viewport):  # noqa: F811
    for colors in ("light", "dark"):
        context = browser.new_context(viewport=viewport, color_scheme=colors, bypass_csp=True)
        try:
            page = context.new_page()
            page.set_default_timeout(15_000)
            state(page, place)
            page.keyboard.press("Tab")
            if SCREENSHOTS:
                name = f"{state.__name__}_{viewport['width']}_{colors}.png"
                page.screenshot(path=Path(SCREENSHOTS) / name, full_page=True)
            found = Axe().run(page, options=RULES).response["violations"]
            assert found == [], json.dumps(found, indent=1)[:5000]
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        finally:
            context.close()


@pytest.mark.parametrize("state", [leaderboard, signing_in, team, organisers])
def test_everything_is_reached_by_the_keyboard_with_a_focus_that_is_seen(browser, place, state):  # noqa: F811
    only_chromium(browser, "a Firefox without a window shows no focus")
    context = browser.new_context(viewport=DESKTOP)
    try:
        page = context.new_page()
        page.set_default_timeout(15_000)
        state(page, place)
        page.evaluate("document.activeElement.blur()")
        page.mouse.click(2, 300)
        wanted = page.evaluate(f"[...document.querySelectorAll('{CONTROLS}')].filter({SEEN}).length")
        reached, outlines = set(), {}
        for _ in range(wanted + 30):
            page.keyboard.press("Tab")
            number, outline, what = page.evaluate(FOCUSED, CONTROLS)
            if number >= 0:
                reached.add(number)
                outlines[what] = outline
        assert len(reached) == wanted > 3
        assert {what: outline for what, outline in outlines.items() if outline != "solid 2px"} == {}
    finally:
        context.close()


CONTROLS = 'a[href], button:not(:disabled), input:not(:disabled), select, textarea, [tabindex="0"]'
SEEN = 'one => one.getClientRects().length && getComputedStyle(one).visibility === "visible"'
FOCUSED = """controls => {
    const one = document.activeElement, style = getComputedStyle(one.matches(".hidden") ? one.labels[0] : one);
    const outline = `${style.outlineStyle} ${style.outlineWidth}`;
    return [[...document.querySelectorAll(controls)].indexOf(one), outline, one.id || one.textContent];
}"""
