"""The nearest spelling: errors about an unknown name suggest the known name that is most like it."""

import difflib
from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: ` Did you mean 'NAME'?`, or "" if no known name is like it.

    Upper and lower case count as the same letters.
    """
    by_letters = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_letters, 1)
    return f" Did you mean {by_letters[found[0]]!r}?" if found else ""
