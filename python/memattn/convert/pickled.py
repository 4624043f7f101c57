"""Reads the pickle inside a PyTorch file as data: nothing in it is imported, called or executed.

``torch.save`` writes tensors and plain containers with a small subset of the pickle language. This
module interprets that subset. A global is only a name here. The few names that PyTorch writes for
tensors and ordered dicts have a fixed meaning; any other name is an error.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from memattn.convert.source import as_shape
from memattn.errors import quoted

MAX_PICKLE_BYTES = 8 << 20
_MAX_INSTRUCTIONS = 1_000_000  # enough for some 30,000 tensors; bounds time and memory

_STORAGE = re.compile(r"torch\.[A-Za-z0-9]+Storage")


class PickleError(Exception):
    """The error for a refused pickle: what was found in it and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected


@dataclass(frozen=True)
class Name:
    """A global, by its name."""

    text: str


@dataclass(frozen=True)
class Storage:
    """A flat array in the archive: its record, PyTorch's name of its type, and its value count."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a view into a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Table(dict[Any, Any]):
    """A dict, or an OrderedDict with the attributes that the pickle sets on it."""

    attributes: Mapping[Any, Any] = MappingProxyType({})


def read_pickle(data: bytes) -> object:
    """Return the value of a pickle, nested from these types.

    They are str, int, float, bool, None, tuple, list, `Table` and `StoredTensor`.

    Raises
    ------
    PickleError
        If the pickle is damaged, or would build an object of any other type.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise PickleError(f"{len(data)} bytes", f"at most {MAX_PICKLE_BYTES}")
    machine = _Machine()
    end: int | None = None
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if count == _MAX_INSTRUCTIONS:
                raise PickleError("a longer pickle", f"at most {count} instructions")
            end = position
            step = _STEPS.get(opcode.name)
            if step is None:
                raise PickleError(f"the instruction {opcode.name}", "what torch.save writes")
            step(machine, argument)
    except (PickleError, MemoryError):
        raise
    except Exception as error:
        # genops raises ValueError and others on damaged bytes; the stack or memo may lack an entry.
        raise PickleError(f"a damaged pickle ({error})", "what torch.save writes") from None
    if machine.marks or len(machine.stack) != 1 or end != len(data) - 1:
        raise PickleError("a pickle without exactly one value", "what torch.save writes")
    return machine.stack[0]


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("nothing above the mark")
        return self.stack.pop()

    def top(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("nothing above the mark")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def pop_some(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]


def _mark(machine: _Machine, _: object) -> None:
    machine.marks.append(len(machine.stack))


def _constant(value: object) -> Callable[[_Machine, object], None]:
    return lambda machine, _: machine.stack.append(value)


def _push(machine: _Machine, argument: object) -> None:
    machine.stack.append(argument)


def _push_new(kind: Callable[[], object]) -> Callable[[_Machine, object], None]:
    return lambda machine, _: machine.stack.append(kind())


def _tuple_of(count: int) -> Callable[[_Machine, object], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.pop_some(count)))


def _tuple(machine: _Machine, _: object) -> None:
    machine.stack.append(tuple(machine.pop_to_mark()))


def _put(machine: _Machine, index: Any) -> None:
    machine.memo[index] = machine.top()


def _get(machine: _Machine, index: Any) -> None:
    machine.stack.append(machine.memo[index])


def _append(machine: _Machine, _: object) -> None:
    _extend(machine, [machine.pop()])


def _appends(machine: _Machine, _: object) -> None:
    _extend(machine, machine.pop_to_mark())


def _extend(machine: _Machine, values: list[Any]) -> None:
    target = machine.top()
    if type(target) is not list:
        raise PickleError("an append to something other than a list", "what torch.save writes")
    target.extend(values)


def _set_item(machine: _Machine, _: object) -> None:
    _update(machine, machine.pop_some(2))


def _set_items(machine: _Machine, _: object) -> None:
    _update(machine, machine.pop_to_mark())


def _update(machine: _Machine, values: list[Any]) -> None:
    target = machine.top()
    if type(target) is not Table or len(values) % 2:
        raise PickleError("items for something other than a dict", "what torch.save writes")
    for key, value in zip(values[::2], values[1::2], strict=True):
        # Other keys, large integers too, can be chosen so that all their hashes collide.
        if type(key) is not str and not (type(key) is int and abs(key) < 2**31):
            raise PickleError(f"a key of the type {type(key).__name__}", "a name or a number")
        if key in target:
            raise PickleError(f"the key {quoted(str(key))} twice", "every key once")
        target[key] = value


def _global(machine: _Machine, argument: Any) -> None:
    _push_name(machine, argument.replace(" ", ".", 1))


def _stack_global(machine: _Machine, _: object) -> None:
    module, name = machine.pop_some(2)
    _push_name(machine, f"{module}.{name}")


def _push_name(machine: _Machine, text: str) -> None:
    if text not in _CALLS and not _STORAGE.fullmatch(text):
        raise _unwelcome(text)
    machine.stack.append(Name(text))


def _unwelcome(text: str) -> PickleError:
    expected = "tensors and plain containers only: save layer.state_dict(), not an object"
    if "quantized" in text or "_rebuild_q" in text:
        expected = "float tensors: save the layer before it is quantised"
    return PickleError(f"a pickled {quoted(text)}, which is never run", expected)


def _persistent(machine: _Machine, _: object) -> None:
    value = machine.pop()
    if (
        type(value) is not tuple
        or [type(part) for part in value] != [str, Name, str, str, int]
        or value[0] != "storage"
        or not (value[2].isascii() and value[2].isdigit())
        or not 0 <= value[4] < 2**60
    ):
        raise PickleError("a reference to something other than a storage", "what torch.save writes")
    kind = value[1].text.removeprefix("torch.")
    machine.stack.append(Storage(value[2], kind, value[4]))


def _reduce(machine: _Machine, _: object) -> None:
    name, arguments = machine.pop_some(2)
    if type(name) is not Name or type(arguments) is not tuple:
        raise PickleError("a call of something other than a function", "what torch.save writes")
    build = _CALLS.get(name.text)
    if build is None:
        raise _unwelcome(name.text)
    machine.stack.append(build(arguments))


def _ordered_dict(arguments: tuple[Any, ...]) -> Table:
    if arguments:
        raise PickleError("an OrderedDict with arguments", "an empty one")
    return Table()


def _tensor(arguments: tuple[Any, ...]) -> StoredTensor:
    if not 6 <= len(arguments) <= 7 or type(arguments[0]) is not Storage:
        _bad_tensor()
    storage, offset = arguments[:2]
    shape, strides = as_shape(arguments[2]), as_shape(arguments[3])
    if shape is None or strides is None or len(shape) != len(strides) or type(offset) is not int:
        _bad_tensor()
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    count = 1
    for size in shape:
        count *= size
    # A view that repeats values could claim any size.
    if offset < 0 or count > storage.count or (count > 0 and last >= storage.count):
        _bad_tensor()
    return StoredTensor(storage, offset, shape, strides)


def _bad_tensor() -> NoReturn:
    raise PickleError("a tensor that is not a view into its storage", "what torch.save writes")


def _parameter(arguments: tuple[Any, ...]) -> StoredTensor:
    if len(arguments) != 3 or type(arguments[0]) is not StoredTensor:
        raise PickleError("a parameter without a tensor", "what torch.save writes")
    return arguments[0]


def _build(machine: _Machine, _: object) -> None:
    attributes = machine.pop()
    target = machine.top()
    if type(target) is not Table or type(attributes) is not Table:
        raise PickleError(
            "attributes for something other than an OrderedDict", "what torch.save writes"
        )
    target.attributes = attributes


_CALLS: dict[str, Callable[[tuple[Any, ...]], object]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None,
    "FRAME": lambda machine, length: None,
    "STOP": lambda machine, _: None,
    "MARK": _mark,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _push),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE"), _push),
    "EMPTY_LIST": _push_new(list),
    "EMPTY_DICT": _push_new(Table),
    "EMPTY_TUPLE": _constant(()),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _tuple,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _get),
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "BINPERSID": _persistent,
    "REDUCE": _reduce,
    "BUILD": _build,
}
