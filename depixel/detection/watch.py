"""How a search tells what is done and found, and how it is ended."""

from collections.abc import Callable

from depixel.detection.boxes import Candidate


class EndedError(Exception):
    """Who watches a search wants no more of it."""


class Watch:
    """Called again and again during a search or a part of one; what it raises ends the search.

    Args:
        told: takes the share that is done, 0 to 1, and the areas found so far, None if these are as before.
    """

    def __init__(self, told: Callable[[float, list[Candidate] | None], None] = lambda share, found: None):
        self._told = told

    def __call__(self, share: float = 0.0, found: list[Candidate] | None = None) -> None:
        """Tell that this share of the part is done, and, if there are others than before, what was found."""
        self._told(share, found)

    def part(
        self,
        begin: float,
        end: float,
        seen: Callable[[list[Candidate]], list[Candidate] | None] = lambda found: found,
    ) -> "Watch":
        """For a part of the search that lies between two shares of it; `seen`: its areas, as the whole sees them."""
        return Watch(lambda share, found: self(begin + share * (end - begin), None if found is None else seen(found)))
