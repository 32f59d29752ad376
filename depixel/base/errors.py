"""The one kind of error that is meant for the person at the keyboard."""


class DepixelError(Exception):
    """A mistake in the input, not in the code.

    Its text says what was wrong, in which file, what would be right and what to type next. Commands print it as one
    message and exit with 1, without a traceback.
    """
