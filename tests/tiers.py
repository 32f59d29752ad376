"""Which tests are quick, slow or soak: each is exactly one of them.

    python -m pytest -m quick           # before each commit, a minute
    python -m pytest -m "not soak"      # quick and slow ones
    python -m pytest -m soak            # kills, whole pipelines in clones, remotes, sweeps, the browser
    python -m pytest -m "not soak" --note-costs    # measures anew which are slow

A test is quick unless it, or a fixture that it uses, costs more than `QUICK` seconds of a core by tests/costs.csv,
which `--note-costs` writes; `@pytest.mark.slow` makes it slow, too. `SOAK` names the soak tests; so does
`@pytest.mark.soak`.
"""

import csv
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import processes

QUICK = 1.0
"""Seconds of a core that a test (all its parameters together) or a fixture may cost to be quick."""
NOTED = 0.3
"""Seconds from which on a cost is noted."""

SOAK = """
    tests/pipeline/test_remotes.py
    tests/web/test_page.py
    tests/web/test_page_eyes.py
    tests/web/test_page_hands.py
    tests/web/test_page_lost.py
    tests/web/test_page_many.py
    tests/web/test_page_results.py
    tests/web/test_page_tasks.py
    tests/server/test_pages.py
    tests/server/test_accessibility.py
    test_a_browser_sees_the_leaderboard_change_and_submits_through_a_proxy
    tests/web/test_proxies.py
    test_readme_as_it_stands
    test_a_clone_with_the_photos_alone_gets_the_same_result
    test_killed_in_training_and_run_again
    test_the_pipeline_goes_on_when_there_is_space_again
    test_models_are_trained_scored_and_shipped
    test_baselines_are_measured
    test_a_variant_is_trained
    test_stopped_and_killed_it_goes_on_and_leaves_experiments
    test_a_search_can_be_prolonged_and_its_experiments_recorded
    test_a_search_ends_where_all_fail
    test_a_cross_validation_goes_on_after_a_kill
    test_seeds_go_on_after_an_interruption_and_change_nothing_else
    test_memory_does_not_grow_under_fifty_clients_at_once
"""
"""Files, and names of tests wherever they are."""

TABLE = Path(__file__).parent / "costs.csv"
ROOT = Path(__file__).resolve().parents[1]


def costs() -> dict[str, float]:
    """What a test or a fixture costs, by file::name, in seconds of a core."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["what"]: float(row["seconds"]) for row in csv.DictReader(file)}


def tier(item: pytest.Item, known: dict[str, float]) -> str:
    """quick, slow or soak."""
    path = item.path.relative_to(ROOT).as_posix()
    name = getattr(item, "originalname", item.name)
    if item.get_closest_marker("soak") or {path, name} & set(SOAK.split()):
        return "soak"
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    used = [f"{path}::{name}", *(place_of(definition) for found in fixtures for definition in found)]
    slow = item.get_closest_marker("slow") or any(known.get(one, 0) > QUICK for one in used)
    return "slow" if slow else "quick"


def place_of(definition: pytest.FixtureDef) -> str:
    """File::name of a fixture of the tests."""
    path = Path(definition.func.__code__.co_filename)
    return f"{path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name}::{definition.argname}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--note-costs", action="store_true", help="Write what each test costs into tests/costs.csv.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = costs()
    for item in items:
        own = tier(item, known)
        if not item.get_closest_marker(own):
            item.add_marker(own)
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


# What it costs


def spent() -> float:
    """Seconds of a core that this process, its children that have ended and the forks of its nurseries have used."""
    return sum(os.times()[:4]) + processes.spent


_fixtures: list[tuple[str, float]] = []


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> Iterator[None]:
    before = spent()
    try:
        return (yield)
    finally:
        _fixtures.append((place_of(fixturedef), spent() - before))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = spent()
    try:
        return (yield)
    finally:
        name = f"{item.path.relative_to(ROOT).as_posix()}::{getattr(item, 'originalname', item.name)}"
        item.user_properties += [*_fixtures, (name, spent() - before)]
        _fixtures.clear()


_totals: defaultdict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        for what, seconds in report.user_properties:
            _totals[what] += seconds


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note the costs of what ran; the others stay, unless they are gone."""
    if not session.config.getoption("--note-costs") or hasattr(session.config, "workerinput"):
        return
    kept = {what: seconds for what, seconds in costs().items() if what not in _totals and is_there(what)}
    new = {what: seconds for what, seconds in _totals.items() if seconds >= NOTED}
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "seconds"])
        writer.writerows((what, f"{seconds:.1f}") for what, seconds in sorted((kept | new).items()))


def is_there(what: str) -> bool:
    path, _, name = what.partition("::")
    return (ROOT / path).is_file() and f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
