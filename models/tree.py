"""A tree of dataclasses as JSON and named arrays, and back, so that a bundle can hold any model.

`flatten` writes a dataclass as an object of its fields and every array as its declaration, {"dtype",
"shape"}; the array itself goes under the name of its path, such as "head.network.layers.0.weights".
The manifest has the object as `model`, so there its path is "model.head.network.layers.0.weights".
`build` is its inverse, guided by the declared types. A missing field takes its default, so a field added
with a default leaves older trees readable; an unknown field is refused.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError
from models.task import Task
from models.tasks import TASKS

Json: TypeAlias = Any
"""What json.loads returns: dicts with string keys, lists, texts, numbers, true, false, None."""

T = TypeVar("T")

_ARRAYS = (np.ndarray, NDArray)
"""What `typing.get_origin` says of NDArray[...]: the first on Python 3.11, the second on later versions,
for which NumPy declares it in a `type` statement."""

_ROOT = "model"
"""Where the manifest has the tree."""

_HOURS = "datetime64[h]"
"""The dtype of timestamps, which are stored as int64: hours since 1970."""


def flatten(  # noqa: PLR0911  # one return for each kind of value
    value: object, arrays: dict[str, NDArray[Any]], path: str = ""
) -> Json:
    """`value` as JSON; its arrays are added to `arrays`. Raises BundleError for what has no such form."""
    match value:
        case Task():
            return value.name
        case np.ndarray():
            arrays[path] = value.astype(np.int64) if value.dtype == _HOURS else value
            return {"dtype": str(value.dtype), "shape": list(value.shape)}
        case Mapping():
            return {key: flatten(item, arrays, _join(path, key)) for key, item in value.items()}
        case tuple() | list():
            return [flatten(item, arrays, _join(path, i)) for i, item in enumerate(value)]
        case None | str() | bool() | int() | float():
            return value
        case np.generic():
            return flatten(value.item(), arrays, path)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: flatten(getattr(value, name), arrays, _join(path, name)) for name in names}
    raise BundleError(f"manifest.json: {_ROOT}.{path}: {type(value).__name__} cannot be saved")


def build(cls: type[T], tree: Json, arrays: Mapping[str, NDArray[Any]]) -> T:
    """The dataclass that `flatten` wrote.

    Raises BundleError if the tree does not match the class or an array its declaration, or if an array
    is missing or left over.
    """
    builder = _Builder(arrays)
    try:
        result: T = builder.build(cls, tree, _ROOT)
    except RecursionError:
        raise BundleError("manifest.json: nested too deeply") from None
    unused = sorted(arrays.keys() - builder.used)
    if unused:
        raise BundleError(f"weights.joblib: {unused[0]}: not declared in manifest.json")
    return result


class _Builder:
    """Builds values by their declared type, and records which arrays were used."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self.used: set[str] = set()

    def build(self, kind: Any, tree: Json, path: str) -> Any:  # noqa: PLR0911
        """The value of type `kind` that `tree` describes; a case for each kind of type."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in {types.UnionType, typing.Union}:  # only ever "or None"
            inner = next(k for k in arguments if k is not type(None))
            return None if tree is None else self.build(inner, tree, path)
        if origin in _ARRAYS:
            return self.array(tree, path)
        if kind is Task:
            return task_of(tree)
        if dataclasses.is_dataclass(kind):
            return self.instance(kind, _require(dict, tree, path), path)
        if origin is tuple:
            items = _require(list, tree, path)
            kinds = (arguments[0],) * len(items) if arguments[-1] is Ellipsis else arguments
            if len(kinds) != len(items):
                raise BundleError(f"manifest.json: {path}: must have {len(kinds)} entries")
            pairs = zip(kinds, items, strict=True)
            return tuple(self.build(k, item, _join(path, i)) for i, (k, item) in enumerate(pairs))
        if isinstance(origin, type) and issubclass(origin, Mapping):
            items = _require(dict, tree, path)
            return {k: self.build(arguments[1], v, _join(path, k)) for k, v in items.items()}
        if kind is float:
            return _number(_require((int, float), tree, path), path)
        return _require(kind, tree, path)

    def instance(self, cls: Any, tree: dict[str, Json], path: str) -> Any:
        """A dataclass from the object of its fields."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in tree.keys() - fields.keys():
            raise BundleError(f"manifest.json: {_join(path, name)}: unknown to this version")
        kinds = typing.get_type_hints(cls)
        values = {}
        for name, field in fields.items():
            if name in tree:
                values[name] = self.build(kinds[name], tree[name], _join(path, name))
            elif field.default is field.default_factory is dataclasses.MISSING:
                raise BundleError(f"manifest.json: {_join(path, name)}: missing")
        try:
            with np.errstate(all="ignore"):  # what is not finite is named later
                return cls(**values)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise BundleError(f"manifest.json: {path}: does not make sense ({error})") from None

    def array(self, tree: Json, path: str) -> NDArray[Any]:
        """The array at this path, if it is as declared."""
        if not isinstance(tree, dict) or tree.keys() != {"dtype", "shape"}:
            raise BundleError(
                f"manifest.json: {path}: must declare the dtype and shape of an array"
            )
        name = path.removeprefix(f"{_ROOT}.")
        if name not in self.arrays:
            raise BundleError(f"weights.joblib: {name}: missing")
        self.used.add(name)
        array = self.arrays[name]
        if tree["dtype"] == _HOURS and array.dtype == np.int64:
            array = array.view(_HOURS)
        found = {"dtype": str(array.dtype), "shape": list(array.shape)}
        if found != tree:
            raise BundleError(
                f"weights.joblib: {name}: is {_spell(found)}, but manifest.json declares "
                f"{_spell(tree)}"
            )
        return array


def task_of(name: Json) -> Task:
    """The task with this name. Raises BundleError if there is none."""
    if not isinstance(name, str) or name not in TASKS:
        raise BundleError(f"manifest.json: task: must be one of {', '.join(TASKS)}")
    return TASKS[name]


def _require(kind: Any, tree: Json, path: str) -> Json:
    """`tree`, if it is of the JSON type `kind`; true and false are no numbers."""
    if not isinstance(tree, kind) or (isinstance(tree, bool) and kind is not bool):
        names = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}
        raise BundleError(f"manifest.json: {path}: must be {names.get(kind, 'a number')}")
    return tree


def _number(value: float, path: str) -> float:
    """`value` as a float; refused are JSON's 1e999 and integers of that size."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BundleError(f"manifest.json: {path}: must be a finite number")
    return number


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _spell(declaration: Mapping[str, Json]) -> str:
    return f"{declaration['dtype']} of shape {declaration['shape']}"
