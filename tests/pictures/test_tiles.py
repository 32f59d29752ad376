"""The windows in which areas are restored."""

import pytest

from depixel.areas.area import ResolvedArea
from depixel.pictures import tiles


@pytest.mark.parametrize("extent", range(236, 264))
@pytest.mark.parametrize("block", [4, 5, 8, 12])
def test_every_tile_shows_a_part_of_the_area_and_together_they_give_all(extent, block):
    for before in (-3, 0, 5, 20):
        for after in (0, 1, 8, 30):
            spans = tiles.spans(extent, block, before, after)
            assert [span.begin for span in spans] == [0, *(span.end for span in spans[:-1])]
            assert spans[-1].end == extent
            for span in spans:
                assert 0 <= span.first <= span.begin < span.end <= span.last <= extent
                assert span.start >= -before
                assert span.first % block == 0 and span.begin % block == 0


@pytest.mark.parametrize(
    ("side", "block", "seen"), [(32, 16, 16), (33, 16, 8), (33, 12, 12), (32, 17, 8), (32, 4, 4), (32, 3, 4)]
)
def test_blocks_are_restored_as_they_were_learnt(side, block, seen):
    assert tiles.Shown(ResolvedArea(0, 0, side, 20, block), "exact").block == seen


@pytest.mark.parametrize("block", [4, 5, 7, 8, 9, 11, 12])
@pytest.mark.parametrize("extent", [3, 30, 239, 240, 241, 250, 257, 500, 999, 1500])
def test_spans_cover_an_area_with_margins(block, extent):
    for before, after in ((0, 0), (3, 0), (0, 5), (50, 50), (500, 1)):
        spans = tiles.spans(extent, block, before, after)
        assert [span.begin for span in spans] == [0, *(span.end for span in spans[:-1])]
        assert spans[-1].end == extent
        for span in spans:
            assert span.side % 8 == 0 and span.side <= tiles.TILE
            assert span.first <= span.begin < span.end <= span.last <= span.start + span.side
            assert span.start >= -before or span.side > extent
            assert span.begin % block == 0 and span.first % block == 0
            assert span.last == extent or span.last % block == 0
            if len(spans) > 1:
                assert span.begin == 0 or span.begin - span.first >= tiles.MARGIN - block
                assert span.end == extent or span.last - span.end >= tiles.MARGIN - 2 * block
