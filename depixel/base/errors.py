"""The error for mistakes of the user."""


class DepixelError(Exception):
    """A mistake in the input, not in the code.

    Its text says what is wrong, in which file, what would be right and what to type next. Commands print it without a
    traceback and exit with code 1.
    """
