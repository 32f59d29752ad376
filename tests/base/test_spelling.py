import pytest

from depixel.base.spelling import suggestion


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("widht", ["width", "height"], " Did you mean 'width'?"),
        ("LAPTOP", ["laptop", "best"], " Did you mean 'laptop'?"),
        ("adam w", ["adam", "sgd"], " Did you mean 'adam'?"),
        ("zebra", ["width", "height"], ""),
        ("", ["width"], ""),
        ("width", [], ""),
    ],
)
def test_the_name_that_is_most_like_it_is_suggested_if_any_is(name, known, said):
    assert suggestion(name, known) == said
