"""Progress of a search: reporting the share that is done and the areas found, and stopping it early."""

from collections.abc import Callable

from depixel.detection.boxes import Candidate


class EndedError(Exception):
    """The caller's watch function asked to stop the search."""


class Watch:
    """A callback that a search, or a part of one, calls repeatedly. An exception from it ends the search.

    Args:
        told: takes the share that is done, 0..1, and the areas found so far; None: they have not changed.
    """

    def __init__(self, told: Callable[[float, list[Candidate] | None], None] = lambda share, found: None):
        self._told = told

    def __call__(self, share: float = 0.0, found: list[Candidate] | None = None) -> None:
        """Report the share of this part that is done, 0..1, and the areas found; None: they have not changed."""
        self._told(share, found)

    def part(
        self,
        begin: float,
        end: float,
        seen: Callable[[list[Candidate]], list[Candidate] | None] = lambda found: found,
    ) -> "Watch":
        """A watch for a part of the search, from share `begin` to share `end` of the whole.

        Args:
            begin, end: 0..1.
            seen: converts the part's areas to areas of the whole search.
        """
        return Watch(lambda share, found: self(begin + share * (end - begin), None if found is None else seen(found)))
