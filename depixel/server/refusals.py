"""Why a request is refused: a status of HTTP, and a sentence for people."""

from depixel.base.errors import DepixelError


class RefusedError(DepixelError):
    """A request that is refused.

    Attributes:
        status: of HTTP. retry_after: seconds after which the same request may be let in; None: waiting does not help.
    """

    def __init__(self, status: int, problem: str, retry_after: int | None = None):
        super().__init__(problem)
        self.status, self.retry_after = status, retry_after
