"""Pickles of NumPy arrays, read without running any code of them.

A pickle is a program. Here its few harmless operations are carried out one by one, each by a handler of `_HANDLERS`;
nothing is imported, and an array that it describes stays a claim (`ClaimedArray`) until somebody has checked it.
"""

import pickletools
from collections.abc import Callable, Sequence
from typing import Any

from depixel.base.errors import DepixelError


class ClaimedArray:
    """What a pickle says of an array: claims, from which nothing is computed here.

    Attributes:
        shape, fortran: as the pickle says, of any type. dtype: a code such as "u1".
        data: bytes, or text with one character per byte (pickle protocols 0 to 2).
    """

    shape: Any = None
    dtype: Any = None
    fortran: Any = None
    data: Any = None

    def build(self, _version: Any, shape: Any, dtype: Any, fortran: Any, data: Any) -> None:
        """Take the state that a pickle sets: NumPy's version, shape, dtype, order and bytes of an array."""
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, fortran, data


def bytes_of(array: ClaimedArray, name: str) -> bytes:
    """The bytes of an array that a pickle claims. Text holds one character for each byte.

    Raises:
        DepixelError: a character is no byte; names the array by `name`.
    """
    try:
        return array.data.encode("latin1") if isinstance(array.data, str) else bytes(array.data)
    except UnicodeEncodeError as error:
        raise DepixelError(f"the values of {name} are not bytes") from error


_LONGEST_KEY = 100


def evaluate(data: bytes, most_operations: int) -> object:
    """Carry out a pickle's operations, on nothing but Python's plain containers and values, and `ClaimedArray`.

    Linear in the size of the pickle in time and memory: values are neither copied, compared nor hashed, but for the
    text that is a key of a dict.

    Raises:
        DepixelError: it is no pickle, a damaged one, has more operations than `most_operations`, or would import
            something or use an operation that arrays do not need; names it.
    """
    machine = _Machine()
    try:
        for count, (operation, value, _) in enumerate(pickletools.genops(data)):
            if count == most_operations:
                raise DepixelError(f"more than {most_operations} operations, where a test set needs fewer")
            if operation.name == "STOP":
                return machine.stack.pop()
            if operation.name not in _HANDLERS:
                raise DepixelError(f"it uses the pickle operation {operation.name}, which no test set needs")
            _HANDLERS[operation.name](machine, value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DepixelError("it is not a pickle, or a damaged one") from error
    raise DepixelError("it is not a pickle, or a damaged one")  # it does not end; genops refuses that itself


class _Machine:
    """The state of a pickle's program. What it holds is of any type, and nothing is asked of it."""

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
        # To hash a nested tuple, or to compare long texts again and again, can take forever
        if not all(type(key) is str and len(key) <= _LONGEST_KEY for key in items[::2]):
            raise TypeError("keys are short text")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))


# What a test set's pickle may ask for, and what it gets


def _reconstruct(_class: Any, _shape: Any, _code: Any) -> ClaimedArray:
    return ClaimedArray()  # its state follows


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> ClaimedArray:
    array = ClaimedArray()
    array.build(1, shape, dtype, order == "F", data)
    return array


def _encode(text: Any, encoding: Any) -> Any:
    if encoding != "latin1":
        raise ValueError("bytes are written as latin1")
    return text  # encoded late: a pickle can ask for this again and again


# the names changed with NumPy 2
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
    if isinstance(machine.stack[-1], ClaimedArray):  # else a dtype's: its byte order, of no meaning for one byte
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
"""What each operation does; `value` is what stands beside it in the pickle."""
