"""Bundles that must be refused: 2,000 of them in families, made from good ones by a seeded generator.

A mutant is a function that writes a folder. `seal` makes a manifest's digest (and signature) right again
after a change, as somebody could who means harm and has no signing key; so what is changed below it
comes to the checks that stand behind the digest.
"""

import copy
import hashlib
import io
import json
import os
import pickle
import pickle as op  # its names of the instructions
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from models import bundle, weights
from models.bundle import MANIFEST, WEIGHTS
from models.tasks import TASKS
from tests import tiny

Content = dict[str, bytes]
Mutant = Callable[[Path], None]
Family = Callable[[np.random.Generator, Path], Iterator[Mutant]]
"""Mutants without end; the path is one that only code in a bundle would write to."""

KEY = b"the key of the tests"

GOOD: dict[str, Content] = {name: bundle.pack(tiny.model(name), {"seed": 0}) for name in TASKS}
OTHER: dict[str, Content] = {
    name: bundle.pack(tiny.model(name, seed=7), {"seed": 7}) for name in TASKS
}


def write(content: Content) -> Mutant:
    """The mutant whose folder has these files."""

    def plant(folder: Path) -> None:
        folder.mkdir()
        for name, data in content.items():
            (folder / name).write_bytes(data)

    return plant


def body_of(content: Content) -> dict[str, Any]:
    """What the manifest of a bundle says, without its head."""
    manifest = json.loads(content[MANIFEST])
    return {key: manifest[key] for key in manifest if key not in {"digest", "signature"}}


def seal(body: bytes) -> bytes:
    """A manifest with the right digest for what follows its head."""
    signed = b'  "signature": null,\n' + body
    return b'{\n  "digest": "' + hashlib.sha256(signed).hexdigest().encode() + b'",\n' + signed


def resealed(content: Content, data: bytes | None = None, **changes: Any) -> Content:
    """The bundle with other weights (`data`) or changes of the manifest, sealed anew."""
    data = content[WEIGHTS] if data is None else data
    body = body_of(content) | changes
    body["weights"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return {WEIGHTS: data, MANIFEST: seal(_text(body))}


def _text(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, indent=2).removeprefix("{\n")
    return text.replace('"@@TOO LARGE@@"', "1e999").replace('"@@HUGE@@"', "9" * 400).encode()


def arrays_of(content: Content) -> dict[str, NDArray[Any]]:
    """The arrays of a bundle."""
    return {name: array.copy() for name, array in weights.parse(content[WEIGHTS]).items()}


def _pick(rng: np.random.Generator) -> Content:
    return GOOD[list(GOOD)[int(rng.integers(len(GOOD)))]]


def flips(name: str) -> Family:
    """One bit of one file."""

    def family(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
        while True:
            content = _pick(rng)
            data = bytearray(content[name])
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            yield write(content | {name: bytes(data)})

    return family


def truncations(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
    """A file that ends too early, or has nothing in it."""
    while True:
        content = _pick(rng)
        name = (WEIGHTS, MANIFEST)[int(rng.integers(2))]
        yield write(content | {name: content[name][: rng.integers(len(content[name]))]})
        yield write(content | {name: b""})


def blocks(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
    """A block of zeros or noise, as a broken disk leaves it, and bytes behind the end."""
    while True:
        content = _pick(rng)
        name = (WEIGHTS, MANIFEST)[int(rng.integers(2))]
        data = content[name]
        start, size = int(rng.integers(len(data) - 64)), int(rng.integers(16, 513))
        for block in (bytes(size), rng.bytes(size)):
            yield write(content | {name: data[:start] + block + data[start + size :]})
        yield write(content | {name: data + rng.bytes(size)})


def swaps(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
    """Files of two bundles, files under each other's names, files that are missing."""
    while True:
        for name, content in GOOD.items():
            for donor in (OTHER[name], *(GOOD[other] for other in GOOD if other != name)):
                yield write(content | {WEIGHTS: donor[WEIGHTS]})
                yield write({WEIGHTS: content[WEIGHTS], MANIFEST: donor[MANIFEST]})
                yield write(resealed(content, donor[WEIGHTS]))
            yield write({WEIGHTS: content[MANIFEST], MANIFEST: content[WEIGHTS]})
            yield write({WEIGHTS: content[WEIGHTS], MANIFEST: content[MANIFEST] + b"{}"})
            for kept in content:
                yield write({kept: content[kept]})


def _places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a tree of JSON."""
    items: Any = tree.items() if isinstance(tree, dict) else ()
    for key, value in enumerate(tree) if isinstance(tree, list) else items:
        yield (*path, key)
        yield from _places(value, (*path, key))


_CHECKED = ("format", "task", "created", "fields", "canary", "model", "weights")
_REPLACED = {("model", "task"), ("model", "encoder", "variables")}  # by those of the code
_LEAF: tuple[Any, ...] = ({"a": 1}, [1], "@@TOO LARGE@@", "@@HUGE@@")
_NODE: tuple[Any, ...] = (
    "text",
    -7,
    1.5,
    True,
    [[[[]]]],
    {"../..": {}},
    {"two\nlines": 1},
    {"x" * 9999: 1},
)


def edits(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
    """A value of the manifest that is of another kind, infinite, or gone."""
    bodies = {name: body_of(content) for name, content in GOOD.items()}
    places = {
        name: [
            p
            for p in _places(body)
            if p[0] in _CHECKED and p[:3] not in _REPLACED and p[:2] not in _REPLACED
        ]
        for name, body in bodies.items()
    }
    while True:
        name = list(GOOD)[int(rng.integers(len(GOOD)))]
        body = copy.deepcopy(bodies[name])
        path = places[name][int(rng.integers(len(places[name])))]
        parent: Any = body
        for key in path[:-1]:
            parent = parent[key]
        inner = isinstance(parent[path[-1]], dict | list)
        values = _NODE if inner else _LEAF
        parent[path[-1]] = values[int(rng.integers(len(values)))]
        yield write({WEIGHTS: GOOD[name][WEIGHTS], MANIFEST: seal(_text(body))})
        whole = copy.deepcopy(bodies[name])
        del whole[_CHECKED[int(rng.integers(len(_CHECKED)))]]
        yield write({WEIGHTS: GOOD[name][WEIGHTS], MANIFEST: seal(_text(whole))})


def non_finite(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
    """One weight, mean or factor that is NaN or infinite."""
    while True:
        content = _pick(rng)
        arrays = arrays_of(content)
        names = [name for name, a in arrays.items() if a.dtype.kind == "f" and a.size]
        name = names[int(rng.integers(len(names)))]
        values = (np.inf, -np.inf) if name == "background.feels_like" else (np.nan, np.inf, -np.inf)
        array = arrays[name].reshape(-1)
        array[rng.integers(len(array))] = values[int(rng.integers(len(values)))]
        yield write(resealed(content, weights.dump(arrays)))


def other_arrays(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
    """Arrays that are missing, left over, renamed, or of another shape or dtype than declared."""
    while True:
        content = _pick(rng)
        arrays = arrays_of(content)
        name = list(arrays)[int(rng.integers(len(arrays)))]
        array = arrays.pop(name)
        other = np.dtype("float64" if array.dtype == np.float32 else "float32")
        for changed in (
            arrays,
            arrays | {"../" + name: array},
            arrays | {name: array, "more": np.zeros(3)},
            arrays | {name: array.astype(other)},
            arrays | {name: np.concatenate([array.reshape(-1), [0]]).astype(array.dtype)},
            arrays | {name: array[..., None]},
        ):
            yield write(resealed(content, weights.dump(changed)))


def huge_shapes(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
    """Arrays that claim more than the file has, with many or impossible axes, and bombs."""
    big = 2**31 - 1
    shapes: list[Any] = [(big,), (big, big), (big,) * 4, (2**20, 3), (-1,), (big,) * 9, (1,) * 70]
    shapes += [(0, -1), ("3",), None, (None,), "3", (True, False), (big,) * 40_000]
    codes: list[bytes] = [array(shape) for shape in shapes]
    codes += [array((3,), dtype=code) for code in ("O8", "V1", "U9", "f2", "M8", None, _nested(40))]
    codes += [array(_nested(40)), array((_nested(40),)), array((1,), order=_nested(40))]
    codes += [op.EMPTY_DICT * 3_000_000, (op.EMPTY_LIST + op.MEMOIZE) * 1_000_000]
    codes += [op.MARK * 3_000_000, Code(op.EMPTY_TUPLE + (op.TUPLE1 * 2_000_000))]
    while True:
        content = _pick(rng)
        for code in codes:
            yield write(resealed(content, program({"encoder.low": Code(code)})))
        for name in ("encoder.low", "interval.levels"):
            body = body_of(content)
            part, last = name.split(".")
            body["model"][part][last]["shape"] = [int(rng.integers(2**20, 2**40)), 2**20]
            yield write(resealed(content, **body))
        yield write(content | {MANIFEST: seal(b'  "format": ' + b"[" * 1_000_000)})
        yield write(content | {MANIFEST: seal(b'  "format": 1' + b"0" * 1_000_000 + b"}")})
        yield write(content | {WEIGHTS: bytes(bundle.LARGEST[WEIGHTS] + 1)})


class Code(bytes):
    """Instructions of a pickle that leave one value on its stack."""


def program(value: Any) -> bytes:
    """A pickle, without frames, that builds `value`."""
    return op.PROTO + b"\x04" + code_of(value) + op.STOP


def code_of(value: Any) -> Code:
    """The instructions that build a value; what is Code already stays as it is."""
    match value:
        case Code():
            return value
        case str():
            return Code(op.SHORT_BINUNICODE + bytes([len(value)]) + value.encode())
        case bool() | None:
            return Code({True: op.NEWTRUE, False: op.NEWFALSE, None: op.NONE}[value])
        case int():
            return Code(op.BININT + value.to_bytes(4, "little", signed=True))
        case tuple():
            return Code(op.MARK + b"".join(map(code_of, value)) + op.TUPLE)
        case dict():
            items = b"".join(code_of(key) + code_of(item) for key, item in value.items())
            return Code(op.EMPTY_DICT + op.MARK + items + op.SETITEMS)
    raise TypeError(value)


def name(module: str, attribute: str) -> Code:
    """What Python knows under a name."""
    return Code(code_of(module) + code_of(attribute) + op.STACK_GLOBAL)


def call(function: Code, *arguments: Any) -> Code:
    """What a function returns."""
    return Code(function + code_of(arguments) + op.REDUCE)


def array(shape: Any, dtype: Any = "f4", order: Any = "<") -> Code:
    """An array as joblib writes it, with 64 bytes of its own."""
    kind = call(name("numpy", "dtype"), dtype, False, True)  # noqa: FBT003  # as NumPy does
    kind = Code(kind + code_of((3, order, None, None, None, -1, -1, 0)) + op.BUILD)
    state = {
        "subclass": name("numpy", "ndarray"),
        "shape": shape,
        "order": "C",
        "dtype": kind,
        "allow_mmap": False,
        "numpy_array_alignment_bytes": 16,
    }
    wrapper = name("joblib.numpy_pickle", "NumpyArrayWrapper") + op.EMPTY_TUPLE + op.NEWOBJ
    return Code(wrapper + code_of(state) + op.BUILD + bytes(65))


def _nested(depth: int) -> Code:
    """A tuple of twice a tuple of twice a tuple ...: 2**depth in a few bytes."""
    code, again = op.EMPTY_TUPLE, op.MEMOIZE + op.BINGET
    for level in range(depth):
        code += again + bytes([level]) + op.TUPLE2
    return Code(code)


def pickles(rng: np.random.Generator, trace: Path) -> Iterator[Mutant]:
    """Code in the weights: it would write to `trace`."""
    while True:
        for data in [*code_files(trace), *odd_files()]:
            yield write(resealed(_pick(rng), data))


def code_files(trace: Path) -> Iterator[bytes]:
    """Files that run code where `joblib.load` or `pickle.load` reads them."""
    for evil in (
        _Call(os.system, f"touch {trace}"),
        _Call(exec, f"import os; os.mknod({str(trace)!r})"),
    ):
        for protocol in range(6):
            yield pickle.dumps(evil, protocol=protocol)
            yield pickle.dumps({"encoder.low": evil}, protocol=protocol)
            for compress in (0, 3):
                file = io.BytesIO()
                held = {"encoder.low": np.array([evil], dtype=object), "more": np.zeros(3)}
                joblib.dump(held, file, compress=compress, protocol=protocol)
                yield file.getvalue()
    touch = call(name("posix", "system"), f"touch {trace}")
    good = array((3,))
    yield program(touch)
    yield program({"encoder.low": good, "encoder.high": touch})
    yield program({"encoder.low": Code(touch + op.POP + good)})
    yield program(Code(op.EMPTY_DICT + op.MARK + touch + good + op.SETITEMS))
    yield program({"encoder.low": array((touch,))})
    yield program({"encoder.low": array((3,), dtype=touch)})
    yield program({"encoder.low": array((3,), order=touch)})
    yield b"cposix\nsystem\n(Vtouch %b\ntR." % bytes(trace)
    yield b"(iposix\nsystem\nVtouch %b\n." % bytes(trace).replace(b"(i", b"(Vx\ni")
    yield b"(cposix\nsystem\nVtouch %b\no." % bytes(trace)


def odd_files() -> Iterator[bytes]:
    """Files that make something else than a dict of arrays, by instructions that are or are not known."""
    plain: list[Any] = [None, (), {}, "text", 1, {1: array((3,))}, {"encoder.low": "text"}]
    plain += [{(): array((3,))}, {"encoder.low": name("numpy", "ndarray")}, array((3,))]
    yield from map(program, plain)
    for module, attribute in (
        ("numpy", "load"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("builtins", "getattr"),
        ("models.weights", "parse"),
        ("joblib.numpy_pickle", "NDArrayWrapper"),
        ("numpy", "dtype.__class__"),
    ):
        yield program(call(name(module, attribute), "x"))
    kept = (None, {"kept": array((3,))})
    for known in (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("joblib.numpy_pickle", "NumpyArrayWrapper"),
    ):
        yield program({"encoder.low": Code(name(*known) + code_of(kept) + op.BUILD)})
    yield program({"encoder.low": call(name("numpy", "ndarray"), (3,))})
    yield program({"encoder.low": array((3,))}) + b"more"
    yield pickle.dumps({"encoder.low": np.zeros(3)}, protocol=5)
    things: list[Any] = [set(), [1], b"bytes", 1.5, np.float32(1)]
    yield from (pickle.dumps({"a": thing}) for thing in things)


class _Call:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, argument: str) -> None:
        self._call = (function, (argument,))

    def __reduce__(self) -> Any:
        return self._call


def files(rng: np.random.Generator, trace: Path) -> Iterator[Mutant]:
    """Links, pipes, devices and folders where a file belongs; a link where the folder belongs."""

    def in_place_of(name: str, make: Callable[[Path], object]) -> Mutant:
        content = _pick(rng)

        def plant(folder: Path) -> None:
            write(content)(folder)
            (folder / name).unlink()
            make(folder / name)

        return plant

    def linked_folder(folder: Path) -> None:
        write(_pick(rng))(folder.with_name("elsewhere"))
        folder.symlink_to(folder.with_name("elsewhere"))

    def linked_file(path: Path) -> None:
        path.with_name("elsewhere").write_bytes(_pick(rng)[path.name])
        path.symlink_to(path.with_name("elsewhere"))

    def sparse(path: Path) -> None:
        path.touch()
        os.truncate(path, 2**40)

    while True:
        for file in (WEIGHTS, MANIFEST):
            yield in_place_of(file, linked_file)
            yield in_place_of(file, lambda path: path.symlink_to("/dev/zero"))
            yield in_place_of(file, lambda path: path.symlink_to("/etc/passwd"))
            yield in_place_of(file, lambda path: path.symlink_to(path))
            yield in_place_of(file, os.mkfifo)
            yield in_place_of(file, lambda path: path.mkdir())
            yield in_place_of(file, sparse)
        yield linked_folder
        yield lambda folder: folder.touch()
        yield _nothing


def _nothing(folder: Path) -> None:
    assert not folder.exists()


def wrongly_signed(rng: np.random.Generator, _: Path) -> Iterator[Mutant]:
    """Unsigned, signed with another key, or changed after it was signed; for a reader with KEY."""
    while True:
        content = _pick(rng)
        yield write(content)
        yield write(bundle.sign(content, rng.bytes(32)))
        signed = bundle.sign(content, KEY)[MANIFEST]
        head, line, body = signed.split(b"\n", 3)[1:]
        flipped = bytearray(line)
        flipped[line.index(b': "') + 3 + rng.integers(64)] ^= 1
        for tail in (
            bytes(flipped) + b"\n" + body,
            line + b"\n" + body.replace(b'"seed": 0', b'"seed": 1'),
        ):
            digest = hashlib.sha256(tail).hexdigest().encode()
            yield write(content | {MANIFEST: b'{\n  "digest": "' + digest + b'",\n' + tail})
        yield write(content | {MANIFEST: b"{\n" + head + b"\n" + body})


FAMILIES: dict[str, tuple[Family, int]] = {
    "a bit of the weights": (flips(WEIGHTS), 350),
    "a bit of the manifest": (flips(MANIFEST), 350),
    "truncated": (truncations, 200),
    "a broken block": (blocks, 150),
    "swapped files": (swaps, 80),
    "an edited manifest": (edits, 350),
    "a value that is not finite": (non_finite, 150),
    "other arrays": (other_arrays, 120),
    "a huge shape": (huge_shapes, 60),
    "code in the pickle": (pickles, 120),
    "no regular files": (files, 34),
    "wrongly signed": (wrongly_signed, 36),
}
"""Each family and how many of it: 2,000 in all."""
