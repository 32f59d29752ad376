"""Reads pickles of NumPy arrays without running their code.

A pickle is a program. This module interprets its few harmless operations, each with a handler of `_HANDLERS`, and
imports nothing. An array in a pickle is a `ClaimedArray` until the caller has checked it.
"""

import pickletools
from collections.abc import Callable, Sequence
from typing import Any

from depixel.base.errors import DepixelError


class ClaimedArray:
    """The unchecked description of an array in a pickle.

    Attributes:
        shape, fortran: as in the pickle, of any type.
        dtype: a code such as "u1", if the pickle is valid.
        data: bytes, or text with one character per byte (pickle protocols 0 to 2), if the pickle is valid.
    """

    shape: Any = None
    dtype: Any = None
    fortran: Any = None
    data: Any = None

    def build(self, _version: Any, shape: Any, dtype: Any, fortran: Any, data: Any) -> None:
        """Store the state of an array in a pickle: NumPy's version, shape, dtype, order and bytes."""
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, fortran, data


def bytes_of(array: ClaimedArray, name: str) -> bytes:
    """The bytes of an array in a pickle; text has one character per byte.

    Raises:
        DepixelError: a character is not a byte; the message calls the array `name`.
    """
    try:
        return array.data.encode("latin1") if isinstance(array.data, str) else bytes(array.data)
    except UnicodeEncodeError as error:
        raise DepixelError(f"the values of {name} are not bytes") from error


_LONGEST_KEY = 100


def evaluate(data: bytes, most_operations: int) -> object:
    """Interpret a pickle; the result holds only Python's plain containers and values, and `ClaimedArray`.

    Time and memory are linear in the size of the pickle: values are neither copied, compared nor hashed, except for the
    short text keys of dicts.

    Args:
        data: the bytes of the pickle.
        most_operations: maximum number of operations.

    Raises:
        DepixelError: the data is not a pickle or is damaged, has too many operations, or would import something or use
            an operation that arrays do not need; the text names it.
    """
    machine = _Machine()
    try:
        for count, (operation, value, _) in enumerate(pickletools.genops(data)):
            if count == most_operations:
                raise DepixelError(f"more than {most_operations} operations; a test set needs fewer")
            if operation.name == "STOP":
                return machine.stack.pop()
            if operation.name not in _HANDLERS:
                raise DepixelError(f"it uses the pickle operation {operation.name}, which no test set needs")
            _HANDLERS[operation.name](machine, value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DepixelError("it is not a pickle, or a damaged one") from error
    raise DepixelError("it is not a pickle, or a damaged one")  # no STOP; genops itself refuses that too


class _Machine:
    """The state of the interpreter. Its values have any type, and no method of unknown values is called."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[Any, Any] = {}

    def pop_marked(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def fill(self, items: Sequence[Any]) -> None:
        """Add keys and values, in turn, to the dict on top of the stack."""
        # hashing a nested tuple, or comparing long texts many times, can take forever
        if not all(type(key) is str and len(key) <= _LONGEST_KEY for key in items[::2]):
            raise TypeError("keys are short text")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))


# Stand-ins for the functions that a test set's pickle calls


def _reconstruct(_class: Any, _shape: Any, _code: Any) -> ClaimedArray:
    return ClaimedArray()  # BUILD sets its state later


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> ClaimedArray:
    array = ClaimedArray()
    array.build(1, shape, dtype, order == "F", data)
    return array


def _encode(text: Any, encoding: Any) -> Any:
    if encoding != "latin1":
        raise ValueError("the encoding of bytes must be latin1")
    return text  # `bytes_of` encodes it later, because a pickle can repeat this call many times


# NumPy 2 has other names
_STAND_INS: dict[str, Callable[..., Any] | None] = {
    "numpy.ndarray": None,
    "numpy.dtype": lambda code, _align, _copy: code,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "numpy._core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _encode,
}


def _stand_in(path: str) -> Callable[..., Any] | None:
    if path not in _STAND_INS:
        raise DepixelError(f"it would import {path[:100]!a}, which no test set needs")
    return _STAND_INS[path]


# The operations


def _nothing(machine: _Machine, value: Any) -> None:
    pass


def _push_value(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


def _push(made: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(made())


def _memoize(machine: _Machine, value: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put(machine: _Machine, value: Any) -> None:
    machine.memo[value] = machine.stack[-1]


def _get(machine: _Machine, value: Any) -> None:
    machine.stack.append(machine.memo[value])


def _mark(machine: _Machine, value: Any) -> None:
    machine.marks.append(len(machine.stack))


def _tuple_of(size: int) -> Callable[[_Machine, Any], None]:
    def handle(machine: _Machine, value: Any) -> None:
        machine.stack[-size:] = [tuple(machine.stack[-size:])]

    return handle


def _tuple(machine: _Machine, value: Any) -> None:
    machine.stack.append(tuple(machine.pop_marked()))


def _list(machine: _Machine, value: Any) -> None:
    machine.stack.append(machine.pop_marked())


def _append(machine: _Machine, value: Any) -> None:
    machine.stack[-2].append(machine.stack.pop())


def _appends(machine: _Machine, value: Any) -> None:
    items = machine.pop_marked()
    machine.stack[-1].extend(items)


def _dict(machine: _Machine, value: Any) -> None:
    items = machine.pop_marked()
    machine.stack.append({})
    machine.fill(items)


def _setitem(machine: _Machine, value: Any) -> None:
    machine.fill([machine.stack.pop(-2), machine.stack.pop()])


def _setitems(machine: _Machine, value: Any) -> None:
    machine.fill(machine.pop_marked())


def _global(machine: _Machine, value: Any) -> None:
    machine.stack.append(_stand_in(value.replace(" ", ".")))


def _stack_global(machine: _Machine, value: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(_stand_in(module + "." + name))


def _reduce(machine: _Machine, value: Any) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(function(*arguments))  # only a stand-in can be called


def _build(machine: _Machine, value: Any) -> None:
    state = machine.stack.pop()
    if isinstance(machine.stack[-1], ClaimedArray):  # else the state of a dtype: byte order, meaningless for one byte
        machine.stack[-1].build(*state)


_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2"), _push_value),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _push_value),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _push_value),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    "MEMOIZE": _memoize,
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "MARK": _mark,
    "EMPTY_TUPLE": _push(tuple),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _tuple,
    "EMPTY_LIST": _push(list),
    "LIST": _list,
    "APPEND": _append,
    "APPENDS": _appends,
    "EMPTY_DICT": _push(dict),
    "DICT": _dict,
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
}
"""Name of an operation -> its handler; `value` is the operation's argument in the pickle."""
