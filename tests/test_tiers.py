"""The tables that say which tests are slow or soak name tests that there are."""

import pytest

from tests import tiers
from tests.conftest import REPOSITORY


def test_every_soak_test_is_there():
    sources = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py")}
    for name in tiers.SOAK.split():
        found = (REPOSITORY / name).is_file() or any(f"def {name}(" in source for source in sources.values())
        assert found, (
            f"{name}: tests/tiers.py names it, and there is no such test; a renamed one would run in `make test`"
        )


def test_a_test_is_of_one_tier(request: pytest.FixtureRequest):
    for item in request.session.items:
        own = [mark.name for mark in item.iter_markers() if mark.name in ("quick", "slow", "soak")]
        assert len(set(own)) == 1, item.nodeid
