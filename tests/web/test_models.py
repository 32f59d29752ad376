"""The models that the page offers."""

import pytest
import requests

from depixel.base.errors import DepixelError
from depixel.web.models import Models
from tests.web.conftest import pixelated, running, told

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_model_is_loaded_once_when_it_is_first_chosen(restorer):
    loaded = []
    models = Models(["laptop", "folder/mine.safetensors"], lambda path: loaded.append(path) or restorer)
    assert [one.name for one in models.offered()] == ["laptop", "mine"] and not loaded
    models.named()
    models.named("mine")
    models.named("mine")
    assert loaded == ["laptop", "folder/mine.safetensors"]
    with pytest.raises(DepixelError, match=r"'mime' is not offered here, only laptop, mine\. Did you mean 'mine'"):
        models.named("mime")


def test_what_one_model_needs_says_what_another_will(restorer):
    models = Models(["laptop", "best", "own"], lambda path: restorer)
    assert {one.seconds_per_megapixel for one in models.offered()} == {None}
    models.probe()
    models.measured("laptop", 1_000_000, 0.001)  # too short to say anything
    models.measured("laptop", 1_000_000, 2.0)
    laptop, best, own = (one.seconds_per_megapixel for one in models.offered())
    assert laptop > 1 and best == pytest.approx(5.6 * laptop) and own is None


def test_a_request_names_its_model(restorer):
    with running(Models(["laptop", "best"], lambda path: restorer)) as url:
        offered = requests.get(f"{url}api/models", timeout=60).json()
        assert [one["name"] for one in offered] == ["laptop", "best"]
        for model, status in (("best", 200), ("other", 422)):
            answer = requests.post(f"{url}api/restore?area={told()}&model={model}", pixelated(), timeout=60)
            assert answer.status_code == status
        assert "only laptop, best" in answer.json()["problem"]
