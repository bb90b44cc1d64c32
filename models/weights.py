"""`weights.joblib`: named arrays as the bytes of a joblib file, and back without trusting those bytes.

A joblib file is a pickle with the raw bytes of arrays in between, and a pickle is a program. `parse` runs
it on a restricted pickle machine that can only build a dict of arrays: it has just the opcodes that
`joblib.dump` writes for such a dict, and resolves just three names, each to a stand-in class of this
module instead of what it names. (From version 1.6 on, joblib looks up every name with `find_class`.) Only
the stand-ins' instances accept a state. An array is allocated only if the file has enough bytes left to
fill it, and the number of opcodes is limited, so that no file can take much more memory or time than its
size warrants. Error messages repeat plain texts and numbers only: the repr of deeply nested tuples can
outgrow any memory.

Whoever trusts these files can read them with `joblib.load`, too.
"""

import io
import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import joblib
import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler
from numpy.typing import NDArray

from models.errors import BundleError

Arrays = dict[str, NDArray[Any]]

DTYPES = ("float32", "float64", "int8", "int64")
"""What an array may hold: numbers, and nothing that could hold an object."""

_PROTOCOL = 4
"""Fixed, so that the same arrays give the same bytes in every version of Python."""

_MOST_INSTRUCTIONS = 100_000
"""The most opcodes of a file; an array takes about thirty."""

_MOST_AXES = 8


def dump(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a joblib file of `arrays`; equal arrays give equal bytes.

    Raises BundleError for an array of another dtype than `DTYPES`.
    """
    plain = {}
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise BundleError(
                f"weights.joblib: {name}: an array of {array.dtype} cannot be saved, only "
                f"{', '.join(DTYPES)}"
            )
        plain[name] = np.array(array, dtype=np.dtype(array.dtype.name), order="C")
    file = io.BytesIO()
    joblib.dump(plain, file, protocol=_PROTOCOL)
    return file.getvalue()


def parse(content: bytes) -> Arrays:
    """The arrays in the bytes of a joblib file, read-only.

    Raises BundleError for anything but a dict of named arrays of `DTYPES`.
    """
    file = io.BytesIO(content)
    try:
        arrays = _Unpickler(file).load()
    except _RefusedError as error:
        raise BundleError(f"weights.joblib: {error}") from None
    except Exception as error:  # noqa: BLE001  # broken bytes make the pickle machine raise anything
        raise BundleError(f"weights.joblib: broken ({type(error).__name__})") from None
    if file.tell() != len(content):
        raise BundleError("weights.joblib: there is something behind its end")
    if type(arrays) is not dict or any(type(a) is not np.ndarray for a in arrays.values()):
        raise BundleError("weights.joblib: must hold a dict of arrays and nothing else")
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


class _RefusedError(Exception):
    """The file asks for something that `dump` never writes; the message says what."""


class _Dtype:
    """Stands in for numpy.dtype, which is called as dtype("f4", False, True) and then given a state."""

    def __init__(self, code: object, *_: object) -> None:
        self.code, self.order = _text(code), "<"

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.order = _text(state[1])

    def dtype(self) -> np.dtype[Any]:
        """The dtype that was named, if it is one of DTYPES."""
        if self.order in {"<", "|"}:
            for name in DTYPES:
                if self.code == np.dtype(name).str[1:]:
                    return np.dtype(self.order + self.code)
        raise _RefusedError(f"holds an array of {self.order}{self.code!r}, not {', '.join(DTYPES)}")


class _Subclass:
    """Stands in for numpy.ndarray, which a wrapper names as the class of its array; never instantiated."""

    def __new__(cls, *_: object) -> Self:
        raise _RefusedError("builds an array in another way than joblib does")


class _Array(NumpyArrayWrapper):  # type: ignore[misc]  # joblib has no types
    """Stands in for joblib's wrapper of an array; reads the array only if all its bytes are there."""

    def __init__(self) -> None:
        """Takes nothing: joblib's files never call it (NEWOBJ), and others (REDUCE) set nothing by it."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.subclass: type = np.ndarray
        self.order = "C"
        self.numpy_array_alignment_bytes = 16
        self.dtype = state["dtype"].dtype()
        self.shape = state["shape"]
        if state["order"] != "C" or state["numpy_array_alignment_bytes"] != 16:  # noqa: PLR2004
            raise _RefusedError("holds an array in a layout that is not joblib's own")
        if type(self.shape) is not tuple or len(self.shape) > _MOST_AXES:
            raise _RefusedError(f"holds an array with something else than 0 to {_MOST_AXES} axes")
        if not all(type(n) is int and n >= 0 for n in self.shape):
            raise _RefusedError("holds an array of an impossible shape")

    def read(self, unpickler: NumpyUnpickler, _: bool = True) -> NDArray[Any]:  # noqa: FBT001, FBT002
        """The array, whose bytes follow in the file."""
        file: io.BytesIO = unpickler.file_handle
        left = file.getbuffer().nbytes - file.tell()
        if math.prod(self.shape) * self.dtype.itemsize > left:
            raise _RefusedError(f"holds an array of shape {self.shape}, larger than the file")
        array: NDArray[Any] = self.read_array(unpickler, ensure_native_byte_order=True)
        return array


def _text(value: object) -> str:
    """`value`, if it is a text."""
    if type(value) is not str:
        raise _RefusedError("holds an array of a dtype that is not given by its name")
    return value


_NAMES: dict[tuple[str, str], type] = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Array,
    ("numpy", "ndarray"): _Subclass,
    ("numpy", "dtype"): _Dtype,
}

_INSTRUCTIONS = (
    pickle.PROTO + pickle.FRAME + pickle.MEMOIZE + pickle.BINGET + pickle.LONG_BINGET
    + pickle.MARK + pickle.STOP + pickle.NONE + pickle.NEWTRUE + pickle.NEWFALSE
    + pickle.BININT + pickle.BININT1 + pickle.BININT2 + pickle.SHORT_BINUNICODE
    + pickle.EMPTY_TUPLE + pickle.TUPLE + pickle.TUPLE1 + pickle.TUPLE2 + pickle.TUPLE3
    + pickle.EMPTY_DICT + pickle.SETITEM + pickle.SETITEMS
    + pickle.STACK_GLOBAL + pickle.NEWOBJ + pickle.REDUCE + pickle.BUILD
)  # fmt: skip


def _counted(instruction: Callable[["_Unpickler"], None]) -> Callable[["_Unpickler"], None]:
    def run(machine: "_Unpickler") -> None:
        machine.count()
        instruction(machine)

    return run


class _Unpickler(NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
    """The restricted pickle machine of `parse`."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__("", file, ensure_native_byte_order=True)
        self._left = _MOST_INSTRUCTIONS

    def find_class(self, module: str, name: str) -> type:
        """One of the three stand-ins."""
        if (module, name) not in _NAMES:
            raise _RefusedError(f"names {module}.{name}, and only arrays are admitted")
        return _NAMES[module, name]

    def count(self) -> None:
        """Count an opcode. Raises _RefusedError when there are too many."""
        self._left -= 1
        if self._left < 0:
            raise _RefusedError(f"has more than {_MOST_INSTRUCTIONS} instructions")

    def load_build(self) -> None:
        """As in joblib, but for our stand-ins' instances only: a class would keep the state it is given."""
        if not isinstance(self.stack[-2], _Array | _Dtype):
            raise _RefusedError("gives a state to something that is no array")
        super().load_build()

    def load_setitem(self) -> None:
        """As in pickle, but for string keys only: hashing a nested tuple can take for ever."""
        self._require_names(self.stack[-2:])
        super().load_setitem()

    def load_setitems(self) -> None:
        """As `load_setitem`, for many."""
        self._require_names(self.stack)
        super().load_setitems()

    def _require_names(self, items: list[object]) -> None:
        if not all(type(key) is str for key in items[::2]):
            raise _RefusedError("has a key that is not a name")

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        code: _counted(instruction)
        for code, instruction in {
            **{code: NumpyUnpickler.dispatch[code] for code in _INSTRUCTIONS},
            pickle.BUILD[0]: load_build,
            pickle.SETITEM[0]: load_setitem,
            pickle.SETITEMS[0]: load_setitems,
        }.items()
    }
