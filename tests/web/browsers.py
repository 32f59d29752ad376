"""What tests in a browser share: Chromium and Firefox, headless, through Playwright, and what a person does there."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np
import pytest
from PIL import Image

from depixel.pictures.pixels import pixelate
from tests.pictures.test_restorer import photo
from tests.web import firefox
from tests.web.conftest import file_of

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
expect = sync_api.expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
_FOLDER = TemporaryDirectory(prefix="depixel-browsers-")
AREA = (40, 24, 64, 48, 8)
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request, tmp_path_factory):
    if request.param == "chromium" and CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    if request.param == "firefox" and firefox.FIREFOX is None:
        pytest.skip("no Firefox on the PATH: apt-get install firefox-esr")
    with sync_api.sync_playwright() as playwright:
        if request.param == "chromium":
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        else:
            program = firefox.script(tmp_path_factory.mktemp("firefox"))
            try:
                browser = playwright.firefox.launch(channel="moz-firefox", executable_path=program)
                browser.new_context().close()
            except sync_api.Error as error:
                missing = re.search(r"\((\S+)\): unknown command", error.message)
                if missing is None:
                    raise
                pytest.skip(f"{firefox.FIREFOX} is too old for Playwright: it does not know {missing[1]}")
        yield browser
        browser.close()


def only_chromium(browser, why: str):
    """Skip a test in Firefox."""
    if browser.browser_type.name != "chromium":
        pytest.skip(f"only Chromium: {why}")


@pytest.fixture
def opened(browser, url):
    """Open the page: `opened(viewport, **options of the context)`. At the end, it must not have complained, nor asked
    anybody else."""
    contexts, complaints, asked = [], [], []

    def open_page(viewport=DESKTOP, at=url, **options):
        contexts.append(browser.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        page.set_default_timeout(30_000)
        page.goto(at)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # Browsers say of each answer of 4xx that it "failed to load", that a script of the report did not run, and of the
    # style that Playwright adds for a screenshot that it is blocked
    known = ("status of", "Blocked script execution in", "Failed to load resource", "inline style (style-src-elem)")
    mine = [text for text in complaints if not any(one in text for one in known)]
    assert not mine, mine
    assert [address for address in asked if not address.startswith(("http://127.0.0.1", "blob:", "data:"))] == []


def shown(area=AREA) -> np.ndarray:
    return pixelate(photo(120, 160), [area])


def choose(page, data: bytes, name="photo.png"):
    choose_all(page, {name: data})


def choose_all(page, files: dict[str, bytes]):
    """Choose files by their names; returns when the first is shown or told about."""
    folder = Path(mkdtemp(dir=_FOLDER.name))  # a browser reads files when it needs them
    for name, data in files.items():
        (folder / name).write_bytes(data)
    page.set_input_files("#file", [folder / name for name in files])
    page.evaluate("0")  # it has begun to read
    expect(page.locator("body")).to_have_attribute("aria-busy", "false", timeout=30_000)


def on_canvas(page, size=(160, 120)) -> Callable[[float, float], tuple[float, float]]:
    """Where on the screen a place of the picture is, whose width and height are `size`, while all of it is seen."""
    box = page.locator("#canvas").bounding_box()
    scale = min(box["width"] / size[0], box["height"] / size[1])
    left, top = box["x"] + (box["width"] - size[0] * scale) / 2, box["y"] + (box["height"] - size[1] * scale) / 2
    return lambda x, y: (left + x * scale, top + y * scale)


def drag(page, area):
    """Draw a rectangle x, y, width, height of the picture on the canvas, with the mouse."""
    x, y, width, height = area
    stroke(page, (x, y), (x + width / 2, y + height / 2), (x + width, y + height))


def stroke(page, *places):
    """Draw from place to place of the picture, 160 x 120, with the mouse."""
    at = on_canvas(page)
    page.mouse.move(*at(*places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*at(*place))
    page.mouse.up()


def write(page, label: str, value):
    """Write into a field, as hands do, and leave it."""
    page.get_by_label(label, exact=True).click()
    page.keyboard.press("Control+a")
    page.keyboard.type(str(value))
    page.keyboard.press("Tab")


def restored_page(page, data: bytes | None = None, name="photo.png"):
    """The page with a picture that was found and restored, fast."""
    choose(page, shown_file() if data is None else data, name)
    page.select_option("#views", "1")
    page.click("#restore")
    page.wait_for_selector("#compare-bar:visible")
    return page


def shown_file(area=AREA) -> bytes:
    return file_of(shown(area))


def numbers(page) -> list[list[str]]:
    """What the fields of each area say; of the block, which is square, the width."""
    page.evaluate("() => new Promise(requestAnimationFrame)")  # the page shows changes in the next frame
    fields = [[one.input_value() for one in row.locator("input").all()] for row in page.locator("#areas .area").all()]
    assert all(width == height for *_, width, height in fields)
    return [row[:-1] for row in fields]


def download(page, button="#download") -> tuple[str, np.ndarray]:
    with page.expect_download() as waiting:
        page.click(button)
    return waiting.value.suggested_filename, np.asarray(Image.open(Path(waiting.value.path())))
