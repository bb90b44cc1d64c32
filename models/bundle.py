"""A bundle: a trained model as a folder of two files, and back.

    weights.joblib   every array by name: weights, biases, means and scales, quantiles, background rows
    manifest.json    everything else, and what the arrays must be

`manifest.json` begins with two lines in a fixed format:

    {
      "digest": "<SHA-256 of all that follows this line>",
      "signature": "<HMAC-SHA-256 of all that follows this line>",      (or null)

so both are checked on the raw bytes, before anything is parsed. The rest: `format`, `task`, `model` (the
tree of `models.tree`: features, layers, links, and the dtype and shape of every array), `fields` (what the
task asked for when the model was trained), `weights` (size and SHA-256 of the other file), `canary` (rows
with their answers), `created`, `libraries`, `git_commit`, and what training adds: recipe, seed, data
digest, history, metrics.

Loading checks, in this order: sizes; the digest; the signature, if there is a key; the format; the fields
and variables of the task; the digest of the weights; the arrays (see `models.weights`); their shapes,
dtypes and finiteness; that they fit together (see `models.soundness`); the bins of the inputs (see
`models.drift`); the canary rows' answers. An error is one line that names the file and the array or key.
Not checked: whether a model is any good, and, without a key, who made it.

To change the format:
1. raise FORMAT_VERSION;
2. keep reading the older ones: a new field of a dataclass gets a default that means "as before", and
   what a default cannot say is brought up to date in `_modernised`;
3. keep a golden bundle of the older format under tests/golden/; a test loads it from then on.
"""

import hashlib
import hmac
import json
import platform
import re
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import drift, few, files, rows, soundness, tree, weights
from models.arrays import Columns
from models.errors import BundleError, SettingsError, SignatureError, UnreadableError
from models.model import Model
from models.outside import TrainingRange
from models.task import Task
from models.tree import Json

FORMAT_VERSION = 1

WEIGHTS, MANIFEST = "weights.joblib", "manifest.json"
LARGEST = {WEIGHTS: 16 * 2**20, MANIFEST: 4 * 2**20}
"""The largest accepted size of each file, in bytes."""

ARTIFACTS = Path(__file__).with_name("artifacts")
"""The bundles that come with the code, one folder for each model."""

KEY_BYTES = 32
"""A signing key has at least as many as the digest (RFC 2104, section 3)."""

CANARY_ROWS = 16
CANARY_TOLERANCE = 1e-4
"""How far, absolutely and relatively, an answer may be off on another processor (float32)."""

_HEAD = re.compile(
    rb'\{\n  "digest": "([0-9a-f]{64})",\n(  "signature": (?:null|"([0-9a-f]{64})"),\n)'
)
_CREATED = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_RESERVED = frozenset(
    {
        "digest",
        "signature",
        "format",
        "task",
        "created",
        "fields",
        "model",
        "weights",
        "canary",
        "libraries",
        "git_commit",
    }
)


@dataclass(frozen=True)
class Bundle(TrainingRange):
    """A loaded model and the manifest that came with it."""

    model: Model
    manifest: dict[str, Any]

    @property
    def version(self) -> str:
        """UTC time and the first 8 hex digits of the weights' digest."""
        return _version(self.manifest)


def save(model: Model, details: Mapping[str, Json], folder: Path, key: bytes | None = None) -> str:
    """Write `model` to `folder`, completely or not at all, and return its version.

    details : what training adds to the manifest, as JSON.
    key : signs the manifest.
    Raises BundleError for a model that `load` would refuse, OSError if it cannot be written.
    """
    content = pack(model, details, key)
    files.write_folder(folder, content)
    return version_of(content)


def load(folder: Path, key: bytes | None = None) -> Bundle:
    """The model in `folder`.

    With a `key`, SignatureError unless the manifest is signed with it. BundleError for any other fault.
    """
    return unpack(read(folder), key)


def read(folder: Path) -> dict[str, bytes]:
    """The bytes of a bundle's files, of each at most LARGEST. Raises BundleError."""
    try:
        is_folder = stat.S_ISDIR(folder.lstat().st_mode)
    except OSError as error:
        raise UnreadableError(f"{folder}: cannot be read: {error.strerror}") from None
    if not is_folder:
        raise BundleError(f"{folder}: is no folder with a bundle")
    content = {}
    for name, limit in LARGEST.items():
        try:
            content[name] = files.read_regular(folder / name, limit)
        except OSError as error:
            kind = BundleError if error.errno is None else UnreadableError
            raise kind(f"{name}: cannot be read: {error.strerror or error}") from None
    return content


def pack(model: Model, details: Mapping[str, Json], key: bytes | None = None) -> dict[str, bytes]:
    """The bytes of a bundle's files, checked as reading and loading them would. Raises BundleError."""
    arrays: dict[str, Any] = {}
    described = tree.flatten(model, arrays)
    _check_finite(model.task, arrays)
    content = weights.dump(arrays)
    taken = sorted(_RESERVED & details.keys())
    if taken:
        raise BundleError(f"manifest.json: {taken[0]}: is written by the bundle itself")
    manifest = {
        "format": FORMAT_VERSION,
        "task": model.task.name,
        "created": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
        **details,
        "fields": _declared(model.task),
        "weights": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
        "libraries": _libraries(),
        "git_commit": _git_commit(),
        "canary": _canary(model),
        "model": described,
    }
    packed = {WEIGHTS: content, MANIFEST: _sealed(manifest, key)}
    for name, limit in LARGEST.items():
        if len(packed[name]) > limit:
            raise BundleError(f"{name}: would be larger than {limit / 2**20:g} MiB")
    unpack(packed, key)
    return packed


def sign(content: Mapping[str, bytes], key: bytes) -> dict[str, bytes]:
    """The bytes of the same bundle, signed with `key`, whoever signed it before."""
    return {**content, MANIFEST: _sealed(_opened(content[MANIFEST], None), key)}


def unpack(content: Mapping[str, bytes], key: bytes | None = None) -> Bundle:
    """The model in the bytes of a bundle's files; raises as `load` does."""
    manifest = _modernised(_opened(content[MANIFEST], key))
    task = tree.task_of(manifest.get("task"))
    _check_created(manifest.get("created"))
    described = manifest.get("model")
    if not isinstance(described, dict):
        raise BundleError("manifest.json: model: must be an object")
    _check_fields(task, manifest.get("fields"))
    soundness.check_features(task, described.get("encoder"))
    declared = manifest.get("weights")
    found = {
        "sha256": hashlib.sha256(content[WEIGHTS]).hexdigest(),
        "bytes": len(content[WEIGHTS]),
    }
    if declared != found:
        raise BundleError("weights.joblib: is not the file that manifest.json was written for")
    arrays = weights.parse(content[WEIGHTS])
    _check_finite(task, arrays)
    model = tree.build(Model, _rebound(described, task), arrays)
    soundness.check(model)
    if manifest.get("reference"):
        drift.bins_of(task, manifest["reference"])
    _check_canary(model, manifest.get("canary"))
    return Bundle(model, manifest)


def read_key(path: Path | None) -> bytes | None:
    """The signing key in a file, without white space around it; None without one. Raises SettingsError."""
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"signing key: {path}: {error.strerror}") from None
    if len(key) < KEY_BYTES:
        raise SettingsError(
            f"signing key: {path}: has {len(key)} bytes, and must have {KEY_BYTES} or more; "
            'python -c "import secrets; print(secrets.token_hex(32))" makes a key'
        )
    return key


def version_of(content: Mapping[str, bytes]) -> str:
    """The version in the bytes of a bundle's files: UTC time and 8 hex digits of a digest."""
    return _version(_opened(content[MANIFEST], None))


def _version(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['created']}-{manifest['weights']['sha256'][:8]}"


def _rebound(described: dict[str, Any], task: Task) -> dict[str, Any]:
    """The description with the variables that the task derives now; columns refer to them by name."""
    encoder = described.get("encoder")
    if isinstance(encoder, dict):
        encoder = {**encoder, "variables": list(task.variables)}
    return {**described, "task": task.name, "encoder": encoder}


def _sealed(manifest: Mapping[str, Json], key: bytes | None) -> bytes:
    """The bytes of manifest.json: digest and signature, then the entries of `manifest` in their order."""
    try:
        text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=2)
    except (TypeError, ValueError) as error:
        raise BundleError(f"manifest.json: cannot be written: {error}") from None
    body = text.removeprefix("{\n").encode()
    signature = f'"{hmac.digest(key, body, "sha256").hex()}"' if key else "null"
    signed = b'  "signature": ' + signature.encode() + b",\n" + body
    return b'{\n  "digest": "' + hashlib.sha256(signed).hexdigest().encode() + b'",\n' + signed


def _opened(content: bytes, key: bytes | None) -> dict[str, Any]:
    """The manifest in the bytes of manifest.json, after a check of its digest and signature."""
    head = _HEAD.match(content)
    if head is None:
        raise BundleError("manifest.json: does not begin with its digest and signature")
    if hashlib.sha256(content[head.start(2) :]).hexdigest() != head[1].decode():
        raise BundleError("manifest.json: is damaged: its digest does not fit")
    body = content[head.end() :]
    if key is not None:
        if head[3] is None:
            raise SignatureError("manifest.json: is not signed, and a signing key is set")
        if not hmac.compare_digest(hmac.digest(key, body, "sha256").hex(), head[3].decode()):
            raise SignatureError("manifest.json: is signed with another key")
    try:
        manifest = json.loads(b"{" + body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BundleError("manifest.json: is not JSON") from None
    if not isinstance(manifest, dict):
        raise BundleError("manifest.json: must be an object")
    return manifest


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _modernised(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest of any earlier format, converted to FORMAT_VERSION."""
    written = manifest.get("format")
    if type(written) is not int or not 1 <= written <= FORMAT_VERSION:
        raise BundleError(
            f"manifest.json: format: is {written!r:.20}, and this version reads 1 to "
            f"{FORMAT_VERSION}"
        )
    return manifest


def _check_created(created: object) -> None:
    try:
        if isinstance(created, str) and _CREATED.fullmatch(created):
            datetime.fromisoformat(created)
            return
    except ValueError:  # digits that are no time
        pass
    raise BundleError("manifest.json: created: must be a time such as 20260131T235959Z")


def _declared(task: Task) -> list[Json]:
    """The fields of a task, as far as a model depends on them."""
    return [
        {"name": f.name, "kind": f.kind, "unit": f.unit, "choices": list(f.choices)}
        for f in task.fields
    ]


def _check_fields(task: Task, declared: object) -> None:
    ours = _declared(task)
    theirs = declared if isinstance(declared, list) else []
    for field in ours:
        if field not in theirs:
            raise BundleError(
                f"manifest.json: fields: {task.name} now asks for {field['name']!r}, which this "
                "model does not know, or declares differently; train it again"
            )
    for field in theirs:
        if field not in ours:
            name = field.get("name") if isinstance(field, dict) else field
            raise BundleError(
                f"manifest.json: fields: the model asks for {name!r:.40}, which {task.name} does "
                "not have in this version of the code; train it again"
            )


def _check_finite(task: Task, arrays: Mapping[str, NDArray[Any]]) -> None:
    optional = {f"background.{field.name}" for field in task.fields if not field.required}
    soundness.check_finite(arrays, optional)


def _canary(model: Model) -> Json:
    """Rows spread over the background, with their answers."""
    n_rows = len(next(iter(model.background.values())))
    chosen = np.unique(np.linspace(0, n_rows - 1, CANARY_ROWS).astype(np.intp))
    columns = {name: column[chosen] for name, column in model.background.items()}
    return {"rows": rows.to_json(model.task, columns), "answers": _answers(model, columns)}


def _answers(model: Model, columns: Columns) -> dict[str, list[float]]:
    with np.errstate(all="ignore"):  # an answer that is not finite is found by the comparison
        prediction = model.predict(columns)
    return {name: array.tolist() for name, array in asdict(prediction).items()}


def _check_canary(model: Model, canary: Json) -> None:
    try:
        columns = rows.from_json(model.task, canary["rows"])
        expected = {name: np.array(canary["answers"][name], dtype=float) for name in _ANSWERS}
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BundleError("manifest.json: canary: must be rows with their answers") from None
    fault = rows.fault(model.task, columns)
    if fault is not None:
        raise BundleError(f"manifest.json: canary: {fault}")
    n_rows = len(next(iter(columns.values())))
    if not 0 < n_rows <= CANARY_ROWS or any(a.shape != (n_rows,) for a in expected.values()):
        raise BundleError(f"manifest.json: canary: must be 1 to {CANARY_ROWS} rows with answers")
    try:
        answers = _answers(model, columns)
        fault = few.fault(model.task, columns)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise BundleError(f"manifest.json: canary: the model fails on it ({error})") from None
    if fault is not None:  # of the code, whatever the bundle
        raise BundleError(
            f"the task {model.task.name} is not declared as its rows need it: {fault}"
        )
    for name, found in answers.items():
        close = np.isclose(
            found, expected[name], rtol=CANARY_TOLERANCE, atol=CANARY_TOLERANCE, equal_nan=False
        )
        if not close.all():
            row = int(np.argmin(close))
            raise BundleError(
                f"manifest.json: canary: row {row}: the {name} is {found[row]:g} and was "
                f"{expected[name][row]:g} when the model was saved"
            )


_ANSWERS = ("value", "low", "high")


def _libraries() -> dict[str, Json]:
    names = ("numpy", "joblib", "holidays")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def _git_commit() -> str | None:
    """The commit of the code, where it runs from a checkout and git is there to tell."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
