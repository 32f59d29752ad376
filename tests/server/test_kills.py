"""SIGKILL of the server at random moments under load: nothing accepted is lost, counted twice, or beyond the limit."""

import pytest

from tests.server.conftest import make_folder, submission

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")

from benchmarks import challenge_kills


@pytest.mark.soak
def test_killed_at_random_moments_it_loses_and_doubles_nothing(tmp_path, database_url):
    root = make_folder(tmp_path / "challenge", attempts=1)
    counted = challenge_kills.run(root, submission(root), kills=20, database=database_url)
    assert counted["counted"] > 100 and counted["broken off"] > 20
