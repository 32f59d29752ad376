import pytest

from depixel.base import arithmetic
from tests.conftest import run


@pytest.mark.slow
def test_a_portable_model_predicts_the_same_as_the_pipeline(place, monkeypatch):
    """In a process of its own, which nobody has told how to compute."""
    for name in arithmetic.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    run("depixel", "predict", "data/test_set/test_set.pkl", "-o", "answer.bin", cwd=place, fresh=True)
    assert (place / "answer.bin").read_bytes() == (place / "predictions/submission.bin").read_bytes()
