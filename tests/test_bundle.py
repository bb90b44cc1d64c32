"""Bundles: what is saved comes back bit for bit, and anything else is refused in one clear line."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import bundle, weights
from models.bundle import MANIFEST, WEIGHTS
from models.errors import BundleError, SettingsError, SignatureError
from models.model import Model
from models.tasks import TASKS
from tests import mutants, tiny


def test_a_loaded_model_gives_the_same_bits(model: Model, tmp_path: Path) -> None:
    """A round trip through a bundle changes no answer and no interval by a single bit."""
    bundle.save(model, {}, tmp_path / "it")
    loaded = bundle.load(tmp_path / "it").model
    columns = tiny.rows(model.task.name, 200, np.random.default_rng(1))
    for level in (0.5, 0.9, 0.99):
        before, after = model.predict(columns, level), loaded.predict(columns, level)
        assert np.array_equal(before.value, after.value)
        assert np.array_equal(before.low, after.low)
        assert np.array_equal(before.high, after.high)


def test_model_that_would_not_load_is_not_saved(tmp_path: Path) -> None:
    """A training fails when it saves, and not the service a moment later."""
    wrong = replace(tiny.model("admission"), threshold=2.0)
    with pytest.raises(BundleError, match="threshold: must be between 0 and 1"):
        bundle.save(wrong, {}, tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_details_are_in_the_manifest(model: Model, tmp_path: Path) -> None:
    """What training has to say about a model stands in the manifest as it was given."""
    details = {"recipe": {"name": "tiny", "hidden": [12, 8]}, "seed": 3}
    bundle.save(model, details, tmp_path / "it")
    manifest = bundle.load(tmp_path / "it").manifest
    assert manifest["recipe"] == details["recipe"]
    assert manifest["seed"] == 3


def test_a_signed_bundle_loads_with_its_key_alone(model: Model, tmp_path: Path) -> None:
    """With a key set, a manifest that is unsigned or signed with another key is refused."""
    bundle.save(model, {}, tmp_path / "signed", key=b"ours")
    bundle.save(model, {}, tmp_path / "unsigned")
    bundle.load(tmp_path / "signed", key=b"ours")
    bundle.load(tmp_path / "signed")
    with pytest.raises(SignatureError, match="another key"):
        bundle.load(tmp_path / "signed", key=b"theirs")
    with pytest.raises(SignatureError, match="not signed"):
        bundle.load(tmp_path / "unsigned", key=b"ours")


Change = Callable[[dict[str, Any], dict[str, Any]], object]
"""Of the manifest and the arrays of a good bundle."""


def _set(path: str, value: Any) -> Change:
    """Put a value into the manifest."""

    def change(body: dict[str, Any], _: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        part: Any = body
        for key in parents:
            part = part[int(key) if key.isdigit() else key]
        part[last] = value

    return change


def _put(name: str, make: Callable[[Any], Any]) -> Change:
    """Change an array."""
    return lambda _, arrays: arrays.update({name: make(arrays[name])})


FAULTS: dict[str, tuple[Change, str]] = {
    "format": (_set("format", 99), "manifest.json: format: is 99, and this version reads 1 to "),
    "task": (_set("task", "weather"), f"manifest.json: task: must be one of {', '.join(TASKS)}"),
    "created": (_set("created", "today"), "manifest.json: created: must be a time such as"),
    "no time": (
        _set("created", "20269999T999999Z"),
        "manifest.json: created: must be a time such as",
    ),
    "reference": (_set("reference", [1]), "manifest.json: reference: must be an object"),
    "no bins": (
        _set("reference", {"gpa": {}}),
        "manifest.json: reference.gpa: must have the edges of its bins, and a share for each bin",
    ),
    "bins": (
        _set("reference", {"gpa": {"edges": [1.0, 2.0], "shares": [1.0]}}),
        "manifest.json: reference.gpa: must have the edges of its bins, and a share for each bin",
    ),
    "field": (
        lambda body, _: body["fields"].pop(),
        "manifest.json: fields: admission now asks for 'rank', which this model does not know",
    ),
    "variable": (
        _set("model.encoder.numbers.0.variable", "luck"),
        "manifest.json: model.encoder.numbers: reads the variable 'luck', which admission does not",
    ),
    "missing": (
        lambda _, arrays: arrays.pop("head.network.skip"),
        "weights.joblib: head.network.skip: missing",
    ),
    "left over": (
        lambda _, arrays: arrays.update(extra=np.zeros(2)),
        "weights.joblib: extra: not declared in manifest.json",
    ),
    "shape": (
        _put("interval.levels", lambda levels: levels[:-1]),
        "weights.joblib: interval.levels: is float64 of shape [4], but manifest.json declares float64 of",
    ),
    "dtype": (
        _put("head.mean", lambda mean: mean.astype("float32")),
        "weights.joblib: head.mean: is float32 of shape [3, 1, 1], but manifest.json declares float64",
    ),
    "NaN": (
        _put("encoder.mean", lambda mean: mean * np.nan),
        "weights.joblib: encoder.mean: has a value that is not finite",
    ),
    "scale": (
        _put("encoder.scale", lambda scale: scale * 0),
        "weights.joblib: encoder.scale: must be above 0",
    ),
    "activation": (
        _set("model.head.network.layers.0.activation", "magic"),
        "manifest.json: model.head.network.layers.0.activation: no activation is named 'magic'",
    ),
    "link": (
        _set("model.head.links", ["logit", "logit", "magic"]),
        "manifest.json: model.head.links: no link is named 'magic'",
    ),
    "codes": (
        _set("model.encoder.categories.0.variables", ["rank"]),
        "manifest.json: model.encoder.categories.0: a background row has none of its 4 codes",
    ),
    "sizes": (
        _set("model.encoder.categories.0.sizes", [4, 2]),
        "manifest.json: model.encoder.categories.0: does not make sense (a category has one size for each",
    ),
    "no threshold": (
        _set("model.threshold", None),
        "manifest.json: threshold: the task admission has one",
    ),
    "threshold": (
        _set("model.threshold", 1.5),
        "manifest.json: threshold: must be between 0 and 1",
    ),
    "range": (
        _set("model.ranges.gpa", [4.0, 2.0]),
        "manifest.json: model.ranges.gpa: must be the range of a field of admission",
    ),
    "background": (
        _put("background.gre", lambda gre: gre + 1000),
        "weights.joblib: background: gre: has a value outside what the field accepts",
    ),
    "canary": (
        lambda body, _: body["canary"]["answers"]["low"].__setitem__(3, 0.25),
        "manifest.json: canary: row 3: the low is ",
    ),
    "no canary": (_set("canary", None), "manifest.json: canary: must be rows with their answers"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_own_words(fault: str) -> None:
    """A bundle that is sealed, and wrong within, is refused with the file, the place and the reason."""
    content = mutants.GOOD["admission"]
    body, arrays = mutants.body_of(content), mutants.arrays_of(content)
    change, words = FAULTS[fault]
    change(body, arrays)
    wrong = mutants.resealed(content, weights.dump(arrays), **body)
    with pytest.raises(BundleError, match=re.escape(words)):
        bundle.unpack(wrong)


@pytest.mark.parametrize(
    ("field", "ends"),
    [("weather", [0.0, 1.0]), ("timestamp", [0.0, 1e9]), ("timestamp", [0, 1e30])],
)
def test_a_range_is_of_an_ordered_field_and_of_times_that_exist(
    field: str, ends: list[float]
) -> None:
    """A request is compared with both ends, so both must be what the field of a row can be."""
    content = mutants.GOOD["bikes"]
    body = mutants.body_of(content)
    body["model"]["ranges"][field] = ends
    with pytest.raises(BundleError, match=f"model.ranges.{field}: must be the range of a field"):
        bundle.unpack(mutants.resealed(content, **body))


def test_damage_is_found_by_the_digests() -> None:
    """One changed byte of either file is told from a file that belongs to another bundle."""
    content = mutants.GOOD["bikes"]
    damaged = content[MANIFEST].replace(b'"seed": 0', b'"seed": 1')
    with pytest.raises(BundleError, match=r"manifest\.json: is damaged: its digest does not fit"):
        bundle.unpack(content | {MANIFEST: damaged})
    with pytest.raises(
        BundleError, match=r"weights\.joblib: is not the file that manifest\.json was"
    ):
        bundle.unpack(content | {WEIGHTS: content[WEIGHTS][:-1] + b"!"})


def test_a_signing_key_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    """A key is as long as the digest at least; white space around it does not count."""
    file = tmp_path / "key"
    file.write_bytes(b" " + b"k" * 32 + b"\n")
    assert bundle.read_key(file) == b"k" * 32
    for short in (b"", b"k" * 31 + b"\n"):
        file.write_bytes(short)
        with pytest.raises(
            SettingsError, match=f"has {len(short.strip())} bytes, and must have 32"
        ):
            bundle.read_key(file)


def test_signing_again_replaces_the_signature() -> None:
    """Who fills a store with what comes with the code signs it with its own key."""
    content = mutants.GOOD["admission"]
    ours = bundle.sign(bundle.sign(content, b"theirs"), b"ours")
    assert ours[WEIGHTS] == content[WEIGHTS]
    assert bundle.unpack(ours, b"ours").manifest == bundle.unpack(content).manifest
    with pytest.raises(SignatureError):
        bundle.unpack(ours, b"theirs")


def test_words_of_a_refusal_are_one_readable_line() -> None:
    """What a message repeats of a bundle cannot fill a log, nor begin a line of its own in it."""
    line = str(BundleError("manifest.json: two\nlines\x1b[31m" + "x" * 9999))
    assert line.startswith("manifest.json: two?lines?[31m")
    assert len(line) < 320


def test_bundle_that_is_too_large_to_be_read_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `read` would refuse for its size is refused when it is packed, and nothing is written."""
    with pytest.raises(BundleError, match=re.escape("manifest.json: would be larger than 4 MiB")):
        bundle.save(tiny.model("bikes"), {"history": " " * 2**22}, tmp_path / "it")
    size = len(bundle.pack(tiny.model("bikes"), {})[WEIGHTS])
    monkeypatch.setitem(bundle.LARGEST, WEIGHTS, size)
    bundle.pack(tiny.model("bikes"), {})
    monkeypatch.setitem(bundle.LARGEST, WEIGHTS, size - 1)
    with pytest.raises(BundleError, match=re.escape("weights.joblib: would be larger than")):
        bundle.save(tiny.model("bikes"), {}, tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_model_that_would_be_refused_is_not_saved(tmp_path: Path) -> None:
    """Saving checks what loading checks, and leaves nothing behind when it fails."""
    model = tiny.model("admission")
    model.head.mean[0] = np.inf
    with pytest.raises(BundleError, match=r"head\.mean: has a value that is not finite"):
        bundle.save(model, {}, tmp_path / "it")
    assert list(tmp_path.iterdir()) == []


GOLDEN = sorted(path for path in (Path(__file__).parent / "golden").iterdir())


@pytest.mark.parametrize("folder", GOLDEN, ids=[path.name for path in GOLDEN])
def test_a_golden_bundle_loads_for_ever(folder: Path) -> None:
    """Bundles of every format that was ever written load, and answer as they did when saved."""
    loaded = bundle.load(folder)  # which compares the canary rows' answers
    assert folder.name == f"format-{loaded.manifest['format']}-{loaded.model.task.name}"


def test_nothing_may_stand_behind_the_arrays() -> None:
    """One set of arrays has one file: what follows it no array would ever show."""
    content = weights.dump({"a": np.zeros(3)})
    assert list(weights.parse(content)) == ["a"]
    with pytest.raises(BundleError, match=r"^weights\.joblib: there is something behind its end$"):
        weights.parse(content + b"\0")


def test_every_format_has_its_golden_bundles() -> None:
    """A new format comes with a bundle of each task that the one before has; none of that is removed."""
    tasks_of = [
        {
            path.name.removeprefix(f"format-{number}-")
            for path in GOLDEN
            if f"-{number}-" in path.name
        }
        for number in range(1, bundle.FORMAT_VERSION + 1)
    ]
    for before, after in pairwise([{"bikes", "admission"}, *tasks_of]):
        assert before <= after <= set(TASKS)
    assert sum(map(len, tasks_of)) == len(GOLDEN)
