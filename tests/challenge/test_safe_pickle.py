import pickle

import numpy as np
import pytest

from depixel.base.errors import DepixelError
from depixel.challenge.safe_pickle import ClaimedArray, evaluate

VALUES = {"text": "ä", "bytes": b"ab", "numbers": (0, 1, 300, 70_000), "none": None, "yes": True, "no": False}
NESTED = {"list": [1, [2, ()], (3,)], "dict": {"a": {"b": (1, 2)}}, "empty": {}, "long": list(range(9))}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_out_as_they_went_in(protocol):
    content = VALUES | NESTED | {"again": NESTED}
    if protocol < 3:
        content["bytes"] = "ab"  # are the result of a call there, and stay text
    assert evaluate(pickle.dumps(content, protocol), 1000) == content


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_array_stays_a_claim(protocol):
    array = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    found = evaluate(pickle.dumps(array, protocol), 1000)
    assert isinstance(found, ClaimedArray) and (found.shape, found.dtype) == ((1, 2, 3), "u1")
    data = found.data.encode("latin1") if isinstance(found.data, str) else found.data
    assert bytes(data) == array.tobytes()


def test_too_many_operations_are_refused():
    evaluate(pickle.dumps(list(range(90))), 100)
    with pytest.raises(DepixelError, match="more than 80 operations"):
        evaluate(pickle.dumps(list(range(90))), 80)
