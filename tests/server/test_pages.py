"""The pages of a challenge in a real browser, as a team and as an organiser."""

import re

import pytest

from tests.server.conftest import make_folder, received, serving, submission
from tests.web.browsers import DESKTOP, browser, only_chromium  # noqa: F401  a fixture

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")

from depixel.server import organising  # noqa: E402
from depixel.server.service import Service  # noqa: E402

expect = sync_api.expect
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def place(tmp_path):
    service = Service(
        make_folder(tmp_path / "c", name="A course", deadline="2040-01-01 12:00", time_zone="Europe/Vienna")
    )
    teams = [organising.add_team(service, "o", name) for name in ("Kepler", "<b>Noether</b>")]
    ada = organising.add_organiser(service, "o", "Ada")
    with serving(service) as url:
        yield service, url, teams, ada
    service.database.close()


@pytest.fixture
def opened(browser, place):  # noqa: F811
    """Open a page: `opened(path, viewport)`. At the end, it must not have complained, nor asked anybody else."""
    contexts, complaints, asked = [], [], []

    def open_page(path="", viewport=DESKTOP):
        contexts.append(browser.new_context(viewport=viewport, accept_downloads=True))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        page.set_default_timeout(15_000)
        page.goto(f"{place[1]}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [told for told in complaints if "status of 4" not in told] == []
    assert [address for address in asked if not address.startswith((place[1], "blob:", "data:"))] == []


def sign_in(page, token):
    page.fill("#token", token)
    page.click("#sign-in button")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_team_submits_and_sees_its_score_and_its_attempts(place, opened, tmp_path, viewport):
    service, _, teams, _ = place
    (tmp_path / "good.bin").write_bytes(submission(service.folder.root, 4))
    (tmp_path / "bad.bin").write_bytes(b"\7nonsense")
    page = opened("team", viewport)
    sign_in(page, "team-1." + "x" * 43)
    expect(page.locator("#problem")).to_contain_text("wrong")
    sign_in(page, teams[0].token)
    expect(page.locator("#left")).to_have_text("5")
    page.set_input_files("#file", tmp_path / "bad.bin")
    expect(page.locator("#answer")).to_contain_text("Not counted.")
    page.check("#dry-run")
    page.set_input_files("#file", tmp_path / "good.bin")
    expect(page.locator("#answer")).to_contain_text("only checked")
    page.uncheck("#dry-run")
    page.set_input_files("#file", tmp_path / "good.bin")
    expect(page.locator("#answer")).to_contain_text("RMSE 4.000")
    expect(page.locator("#left")).to_have_text("4")
    expect(page.locator("#deadline")).to_contain_text("Sun 1 Jan 2040, 12:00 (Europe/Vienna, UTC+01:00)")
    page.fill("#alias", "the stars")
    page.click("#alias-form button")
    expect(page.locator("#team-name")).to_have_text("the stars (Kepler)")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_a_file_is_dropped_onto_the_page_and_the_plot_has_a_dot_a_submission(place, opened):
    service, _, teams, _ = place
    page = opened("team")
    sign_in(page, teams[0].token)
    expect(page.locator("#left")).to_have_text("5", timeout=15_000)
    for number, off in enumerate((4, 6), 1):
        content = list(submission(service.folder.root, off))
        dropped = page.evaluate_handle(
            """content => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(content)], "answer.bin"));
                return data;
            }""",
            content,
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
        expect(page.locator("#answer")).to_contain_text(f"answer.bin: RMSE {off}.000", timeout=15_000)
        expect(page.locator("#used")).to_have_text(f"{number} of 5 used")
    expect(page.locator("#plot circle")).to_have_count(2)
    expect(page.locator("#plot title")).to_contain_text("the best is 4.000")


def test_the_leaderboard_changes_while_somebody_looks(place, opened):
    service, _, teams, _ = place
    page = opened()
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#rows")).to_contain_text("<b>Noether</b>")  # as text
    received(service, teams[1].number, submission(service.folder.root, 3))
    expect(page.locator("#rows tr").first).to_contain_text("3.000", timeout=15_000)


def test_an_organiser_adds_extends_disqualifies_deletes_and_closes(place, opened, browser):  # noqa: F811
    only_chromium(browser, "Playwright cannot overwrite a number in Firefox")
    service, _, teams, ada = place
    received(service, teams[0].number, submission(service.folder.root, 3))
    page = opened("organiser")
    sign_in(page, ada.token)
    expect(page.locator("#teams tr").first).to_be_visible()
    page.fill("#new-name", "Gauss")
    page.click("#add button")
    expect(page.locator("#new-token")).to_contain_text(re.compile(r"team-3\.\S+"))
    page.select_option("#attempts-team", str(teams[0].number))
    page.fill("#count", "2")
    page.click("#attempts-form button")
    expect(page.locator("#teams tr").first).to_contain_text("1 of 7")
    page.fill("#new-deadline", "2041-02-03T04:05")
    page.click("#deadline-form button")
    expect(page.locator("#deadline")).to_contain_text("Sun 3 Feb 2041, 04:05")
    page.get_by_role("button", name="Disqualify: Kepler").click()
    page.fill("#ask-reason", "copied")
    page.click("#ask-yes")
    expect(page.locator("#teams")).to_contain_text("disqualified: copied")
    page.get_by_role("button", name="Delete: <b>Noether</b>").click()
    page.click("#ask button[value=no]")
    page.get_by_role("button", name="Delete: <b>Noether</b>").click()
    page.click("#ask-yes")
    expect(page.locator("#teams")).not_to_contain_text("Noether")
    page.click("#close")
    page.click("#ask-yes")
    expect(page.locator("#state")).to_contain_text("closed, results open")
    with page.expect_download() as copy:
        page.click("#copy")
    assert copy.value.suggested_filename == "leaderboard.html"
    expect(page.locator("#trail")).to_contain_text("Ada: disqualified")
