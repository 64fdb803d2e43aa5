"""Reading the pickles that FLAME comes in without running what is in them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from ..errors import TalkingEyesError

# A pickle is a program: it names callables and calls them. Here every name it may use leads to one of the inert
# classes and functions below, never to the thing that is named; numpy's own are not used either, for they trust their
# input. Each stand-in keeps the state that it is given, and `array_from` turns it into an array at the end.


class Refused(TalkingEyesError):
    """The pickle asks for something that is not on the list."""


class _Inert:
    """Base of the stand-ins: takes any arguments and a state, does nothing with them."""

    arguments: tuple = ()
    state: Any = None

    def __new__(cls, *args: Any) -> _Inert:
        # Not __init__: some pickles call the class, others only its __new__.
        made = super().__new__(cls)
        made.arguments = args
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Object(_Inert):
    """Stands in for `object`, which Python 2's pickles name as a base."""


class _Dtype(_Inert):
    """Stands in for numpy.dtype: a plain number or string type, or `object`."""

    def numpy(self) -> np.dtype:
        code = self.arguments[0] if self.arguments else None
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?[biufcSUO]\d{0,4}", code):
            raise Refused(f"The file holds an array of the type {str(code)[:40]!r}, which no head model needs.")
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        dtype = np.dtype(code)
        return dtype.newbyteorder(order) if order in ("<", ">", "=") else dtype


class _Array(_Inert):
    """Stands in for numpy.ndarray: state (version, shape, dtype, Fortran order, bytes or a list of objects)."""

    def numpy(self) -> np.ndarray:
        if not isinstance(self.state, tuple) or len(self.state) not in (4, 5):
            raise ValueError("an array has no content")
        shape, dtype, fortran, content = self.state[-4:]
        return _array(content, dtype, shape, "F" if fortran else "C")


class _BufferArray(_Inert):
    """Stands in for what pickle protocol 5 makes of an array: arguments (bytes, dtype, shape, order)."""

    def numpy(self) -> np.ndarray:
        content, dtype, shape, order = self.arguments
        return _array(content, dtype, shape, "F" if order == "F" else "C")


class _Sparse(_Inert):
    """Stands in for scipy's sparse matrices; ``numpy`` gives the dense matrix."""

    def numpy(self) -> np.ndarray:
        state = self.state if isinstance(self.state, dict) else {}
        shape = tuple(int(n) for n in state.get("_shape", state.get("shape", ())))
        if len(shape) != 2 or math.prod(shape) > 2**28:
            raise ValueError(f"a sparse matrix has the shape {shape}")
        data = array_from(state["data"])
        rows, columns = self._indices(state, shape)
        if not (len(data) == len(rows) == len(columns)):
            raise ValueError("a sparse matrix is damaged")
        for indices, size in ((rows, shape[0]), (columns, shape[1])):
            if len(indices) and not 0 <= indices.min() <= indices.max() < size:
                raise ValueError("a sparse matrix has entries outside of its shape")
        dense = np.zeros(shape, data.dtype)
        np.add.at(dense, (rows, columns), data)
        return dense

    def _indices(self, state: dict, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


class _Coo(_Sparse):
    def _indices(self, state: dict, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
        return array_from(row).astype(np.int64), array_from(column).astype(np.int64)


class _Csr(_Sparse):
    def _indices(self, state: dict, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        inner = array_from(state["indices"]).astype(np.int64)
        starts = array_from(state["indptr"]).astype(np.int64)
        counts = np.diff(starts)
        if len(starts) != self._outer(shape) + 1 or starts[0] != 0 or (counts < 0).any() or starts[-1] > len(inner):
            raise ValueError("a sparse matrix is damaged")
        return np.repeat(np.arange(len(counts)), counts), inner

    def _outer(self, shape: tuple[int, int]) -> int:
        return shape[0]


class _Csc(_Csr):
    def _indices(self, state: dict, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        columns, rows = super()._indices(state, shape)
        return rows, columns

    def _outer(self, shape: tuple[int, int]) -> int:
        return shape[1]


class _Chumpy(_Inert):
    """Stands in for chumpy's arrays: `Ch` keeps its array as `x`, `Select` picks `idxs` out of `a`."""

    def numpy(self) -> np.ndarray:
        state = self.state if isinstance(self.state, dict) else {}
        if "x" in state:
            return array_from(state["x"])
        if "a" in state and "idxs" in state:
            picked = array_from(state["a"]).ravel()[array_from(state["idxs"]).astype(np.int64)]
            shape = state.get("preferred_shape")
            return picked if shape is None else picked.reshape(tuple(int(n) for n in shape))
        raise ValueError(f"a chumpy object holds neither an array nor a selection, but {sorted(map(str, state))[:6]}")


class _Function:
    """An allowed function. Not a bare function, whose attributes a pickle could set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise Refused("The file tries to change a function.", _HINT)


_HINT = "Take the head model from its publisher's own page."


def _reconstruct_array(*_: Any) -> _Array:
    return _Array()


def _reconstruct_object(cls: Any, *_: Any) -> Any:
    # Python 2's way to make an instance of a class: copy_reg._reconstructor(class, base, state of the base).
    if not (isinstance(cls, type) and issubclass(cls, _Inert)):
        raise Refused("The file makes an object of a class that is not allowed.", _HINT)
    return cls()


def _scalar(dtype: Any, content: Any = b"") -> Any:
    return _array(content, dtype, (), "C")[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    # How Python 3 writes bytes for Python 2 to read.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("The file encodes something other than bytes.", _HINT)
    return text.encode("latin1")


def _bytes(content: Any = b"", *encoding: Any) -> bytes:
    if isinstance(content, str):
        return _encode(content, *encoding)
    if not isinstance(content, bytes | bytearray):
        raise Refused("The file makes bytes of something else.", _HINT)
    return bytes(content)


def _set(items: Any = ()) -> frozenset:
    return frozenset(items) if isinstance(items, list | tuple) else frozenset()


def _ordered_dict(items: Any = ()) -> dict:
    return dict(items) if isinstance(items, list | tuple) else {}


def _allowed() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _Function(_encode),
        ("collections", "OrderedDict"): _Function(_ordered_dict),
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _Function(_reconstruct_array)
        table[f"{core}.multiarray", "scalar"] = _Function(_scalar)
        table[f"{core}.numeric", "_frombuffer"] = _BufferArray
    for copyreg in ("copy_reg", "copyreg"):
        table[copyreg, "_reconstructor"] = _Function(_reconstruct_object)
    for builtins in ("__builtin__", "builtins"):
        table[builtins, "object"] = _Object
        table[builtins, "bytes"] = table[builtins, "bytearray"] = _Function(_bytes)
        table[builtins, "set"] = table[builtins, "frozenset"] = _Function(_set)
    for letters, stand_in in (("csc", _Csc), ("csr", _Csr), ("coo", _Coo)):
        for module in (f"scipy.sparse.{letters}", f"scipy.sparse._{letters}", "scipy.sparse"):
            table[module, f"{letters}_matrix"] = table[module, f"{letters}_array"] = stand_in
    return table


_ALLOWED = _allowed()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        stand_in = _ALLOWED.get((module, name))
        if stand_in is not None:
            return stand_in
        if re.fullmatch(r"chumpy(\.\w+)*", module) and name.isidentifier():
            return _Chumpy
        raise Refused(
            f"The file asks for '{module}.{name}', which a head model has no need of; nothing of it was run.", _HINT
        )

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("The file refers to objects outside of itself.", _HINT)


# What the unpickler and the stand-ins raise on bytes that are no pickle, or a damaged one.
_DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError,
    OverflowError, MemoryError, RecursionError, AssertionError, NotImplementedError,
)  # fmt: skip


def load_pickle(stream: BinaryIO | bytes) -> Any:
    """Read a pickle of builtin containers, numbers, strings and the array types that FLAME files use.

    Arrays stay wrapped until ``array_from`` is called on them. Raises ``Refused`` (a TalkingEyesError) when the file
    names anything else, and ValueError when it is not a pickle, or a damaged one.
    """
    stream = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    try:
        return _Unpickler(stream, encoding="latin1").load()
    except _DAMAGE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def array_from(value: Any) -> np.ndarray:
    """The array that a value out of ``load_pickle`` stands for: wrapped, sparse, chumpy's, a number or a list.

    Raises ValueError when it stands for none.
    """
    try:
        if isinstance(value, _Inert):
            if not hasattr(value, "numpy"):
                raise ValueError("an object is not an array")
            return value.numpy()
        return np.asarray(value)
    except _DAMAGE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _array(content: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(dtype, _Dtype):
        raise ValueError("an array has no type")
    kind = dtype.numpy()
    shape = tuple(int(n) for n in (shape if isinstance(shape, tuple | list) else (shape,)))
    if kind.hasobject:
        items = list(content)
        if len(items) != math.prod(shape):
            raise ValueError("an array's content does not fit its shape")
        objects = np.empty(len(items), object)
        objects[:] = [array_from(item) if isinstance(item, _Inert) else item for item in items]
        return objects.reshape(shape, order=order)
    raw = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(raw, bytes | bytearray):
        raise ValueError("an array's content is not bytes")
    if min(shape, default=0) < 0 or len(raw) != math.prod(shape) * kind.itemsize:
        raise ValueError("an array's content does not fit its shape")
    return np.frombuffer(raw, kind).reshape(shape, order=order)
