"""The documentation site: does it build, is it whole, and does it stand alone?"""

import json
import posixpath
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
import yaml

import depixel
from depixel.cli import main
from depixel.params import MODELS
from tests.conftest import REPOSITORY
from tests.pipeline.test_readme import SITE, in_order
from tools import documentation


def built(project: Path, site: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site of this repository."""
    folder = tmp_path_factory.mktemp("site")
    done = built(REPOSITORY, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of what the site is built from."""
    for name in ("docs", "tools", "mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "stages"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    for name in ("params.yaml", "presets.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "depixel").symlink_to(REPOSITORY / "depixel")  # mkdocs watches it
    (tmp_path / "models").mkdir()
    for card in (REPOSITORY / "models").glob("*.md"):
        shutil.copy(card, tmp_path / "models")
    return tmp_path


class Loaded(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.addresses += [value or "" for name, value in attributes if name in ("src", "srcset", "href", "data")]


@pytest.mark.slow
def test_the_site_has_every_page(site):
    pages = {path.relative_to(REPOSITORY / "docs").as_posix() for path in (REPOSITORY / "docs").rglob("*.md")}
    for page in (*pages, *documentation.REFERENCE, *documentation.OUTSIDE.values()):
        assert (site / page).with_suffix(".html").is_file(), page


LINKS = re.compile(r"\]\((?!https?:)([\w./-]+\.md)(?:#[\w-]+)?\)")


def links(page: Path) -> set[str]:
    """The pages that a page links, from the repository's folder."""
    text = page.read_text(encoding="utf-8")
    return {
        posixpath.normpath(posixpath.join(page.parent.relative_to(REPOSITORY), link)) for link in LINKS.findall(text)
    }


def test_the_list_of_pages_has_every_page_of_the_menu():
    sources = {made: path for path, made in documentation.OUTSIDE.items()}
    menu = {sources.get(page, f"docs/{page}") for page in in_order(SITE["nav"])}
    assert links(REPOSITORY / "docs/pages.md") | {"docs/pages.md"} == menu
    assert "docs/pages.md" in links(REPOSITORY / "README.md")


def test_a_link_to_a_page_that_only_the_site_has_is_in_the_list():
    listed = (REPOSITORY / "docs/pages.md").read_text(encoding="utf-8").partition("## Made with the site")[2]
    for page in (REPOSITORY / "docs").rglob("*.md"):
        for link in links(page):
            made = link.removeprefix("docs/")
            assert (REPOSITORY / link).is_file() or (made in documentation.REFERENCE and f"({made})" in listed), (
                page,
                link,
            )


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        for address in Loaded(page.read_text(encoding="utf-8")).addresses:
            assert not re.match(r"(https?:)?//", address), (page.name, address)
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)[\"' ]*(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.slow
def test_the_search_knows_the_pages_without_a_server(site):
    index = (site / "search/search_index.js").read_text(encoding="utf-8")
    found = json.loads(index[index.index("{") : index.rindex("}") + 1])
    places = {entry["location"].partition("#")[0] for entry in found["docs"]}
    assert {"index.html", "how-to/restore.html", "reference/commands.html"} <= places


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    if not (chromium := shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("there is no Chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.soak
def test_opened_from_a_folder_it_can_be_searched_and_fits_a_phone(site, browser):
    page = browser.new_page(viewport={"width": 360, "height": 740})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for name in (
        "index",
        "how-to/restore",
        "measured",
        "reference/settings",
        "tutorial/3-own-photos",
        "concepts",
        "choices",
    ):
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    page.locator("label[for=__search]").first.click()
    page.get_by_role("textbox", name="Search").press_sequentially("kriging")  # it listens to keys
    page.locator(".md-search-result__item").first.wait_for()
    assert "measured" in page.locator(".md-search-result__list").inner_text().lower()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[gone](restore.md#no-such-heading)", "no-such-heading"),
        ("![gone](gone.png)", "gone.png"),
        ("[gone](../../models/gone.md)", "models/gone.md"),
    ],
)
def test_a_broken_link_fails(project, text, told):
    page = project / "docs/how-to/report.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n{text}\n", encoding="utf-8")
    done = built(project, project / "site")
    assert done.returncode == 1 and told in done.stderr, done.stderr


@pytest.mark.slow
def test_a_page_that_is_missing_or_in_no_menu_fails(project):
    page = project / "docs/how-to/report.md"
    page.rename(page.with_name("renamed.md"))
    done = built(project, project / "site")
    assert done.returncode == 1 and "report.md" in done.stderr and "renamed.md" in done.stderr, done.stderr


# The reference


def commands(command: click.Command, path: str) -> dict[str, click.Command]:
    if not isinstance(command, click.Group):
        return {path: command}
    below = (commands(one, f"{path} {name}") for name, one in command.commands.items())
    return {name: one for found in below for name, one in found.items()}


def test_the_reference_has_every_command_and_option():
    sections = dict(re.findall(r"(?ms)^## (depixel .+?)\n(.*?)(?=^## |\Z)", documentation.commands()))
    assert sections.keys() == commands(main, "depixel").keys()
    for name, command in commands(main, "depixel").items():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in sections[name], (name, parameter.opts)


def test_the_reference_has_every_setting_with_its_value():
    page = documentation.settings()
    written = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    for section, model in MODELS.items():
        for name, field in model.model_fields.items():
            if field.exclude:  # an old name
                continue
            (entry,) = re.findall(rf"(?ms)^`{section}\.{name}`\n:   (.*?)(?=^[`#])", page)
            if isinstance(written[section][name], int):
                assert f"In `params.yaml`: `{json.dumps(written[section][name])}`. Default:" in entry
    assert "`unet_deep`" in page and "from 1 to 1024" in page and "sample-long:" in page


def test_the_reference_has_what_stages_read_and_write():
    page = documentation.stages()
    for name, stage in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items():
        (section,) = re.findall(rf"(?ms)^## {name}\n(.*?)(?=^## |\Z)", page)
        for output in stage.get("outs", []):
            assert f"`{next(iter(output))}`" in section
        assert "`data/raw`" in section or "data/raw" not in stage["deps"]


def test_the_reference_has_the_public_names():
    page = documentation.python()
    for name in depixel.__all__:
        assert f"## depixel.{name}\n" in page
    assert "restore_many(" in page and "`views`\n:   number of turned views" in page


def test_the_reference_has_the_http_api():
    pytest.importorskip("fastapi")
    page = documentation.http()
    for path in ("POST /api/restore", "POST /api/find", "GET /api/runs"):
        assert f"## {path}\n" in page
    assert "`views` (optional; `1`, `2`, `8`)" in page and "answer 413" in page


def test_help_texts_are_shown_as_they_are():
    assert documentation._plain("a *b* <c> `d *e*` [f](g)") == r"a \*b\* &lt;c\> `d *e*` \[f\](g)"
    laid_out = documentation._laid_out("Words.\n\n\b\nExample:\n  depixel a\n    depixel b\nMore:\n  c")
    assert laid_out == "Words.\n\nExample:\n\n```text\ndepixel a\n  depixel b\n```\n\nMore:\n\n```text\nc\n```"
