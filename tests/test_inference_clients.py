"""The Open Inference Protocol v2 as its clients speak it: they work unchanged."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from models.rows import to_json
from models.store import Store
from models.tasks import TASKS
from tests import tiny
from tests.process import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    """Triton's client, with its defaults."""
    with triton.InferenceServerClient(url.removeprefix("http://")) as connected:
        yield connected


def inputs(name: str, n_rows: int, *, binary: bool = True) -> list[triton.InferInput]:
    """Random rows as the inputs of Triton's client."""
    made = []
    for field, values in to_json(TASKS[name], columns(name, n_rows)).items():
        array = np.array(values)
        array = array.astype(object) if array.dtype.kind == "U" else array
        tensor = triton.InferInput(field, list(array.shape), np_to_triton_dtype(array.dtype))
        made.append(tensor.set_data_from_numpy(array, binary_data=binary))
    return made


def columns(name: str, n_rows: int) -> tiny.Rows:
    """Random rows that leave nothing out."""
    made = tiny.rows(name, n_rows, np.random.default_rng(5))
    if name == "bikes":
        made["feels_like"] = np.where(
            np.isnan(made["feels_like"]), made["temperature"], made["feels_like"]
        )
        made["holiday"] = np.maximum(made["holiday"], 0)
    return made


def test_triton_finds_server_and_models(client: triton.InferenceServerClient, store: Path) -> None:
    """Health and metadata are what Triton's client asks for, versions included."""
    version = Store(store).current("bikes")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("bikes")
    assert client.is_model_ready("bikes", version)
    assert not client.is_model_ready("bikes", "1")
    assert not client.is_model_ready("weather")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("bikes", version)
    assert [tensor["name"] for tensor in metadata["inputs"]] == list(TASKS["bikes"].field_names)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_triton_infers(client: triton.InferenceServerClient, name: str, binary: bool) -> None:  # noqa: FBT001
    """With its defaults, tensors behind the JSON, and with JSON alone, the answers are the model's."""
    outputs = None
    if not binary:
        names = [TASKS[name].target, "low", "warnings"]
        outputs = [triton.InferRequestedOutput(output, binary_data=False) for output in names]
    found = client.infer(
        name, inputs(name, 1200, binary=binary), outputs=outputs, request_id="mine"
    )
    wanted = tiny.model(name).predict(columns(name, 1200))
    assert found.get_response()["id"] == "mine"
    assert np.allclose(found.as_numpy(TASKS[name].target), wanted.value, rtol=1e-5, atol=0)
    assert np.allclose(found.as_numpy("low"), wanted.low, rtol=1e-4, atol=1e-6)
    assert found.as_numpy("warnings").shape == (1200,)
    if name == "admission" and binary:
        assert (found.as_numpy("admitted") == (found.as_numpy("probability") >= 0.5)).all()


def test_triton_chooses_outputs_version_and_level(
    client: triton.InferenceServerClient, store: Path
) -> None:
    """A version, some of the outputs and a level may be asked for, each output in its own form."""
    found = client.infer(
        "admission",
        inputs("admission", 3),
        Store(store).current("admission"),
        [
            triton.InferRequestedOutput("high"),
            triton.InferRequestedOutput("warnings"),
            triton.InferRequestedOutput("admitted", binary_data=False),
        ],
        parameters={"level": 0.8},
    )
    assert [o["name"] for o in found.get_response()["outputs"]] == ["high", "warnings", "admitted"]
    wanted = tiny.model("admission").predict(columns("admission", 3), 0.8)
    assert np.allclose(found.as_numpy("high"), wanted.high, rtol=1e-5)
    assert found.as_numpy("admitted").dtype == np.bool_
    assert found.as_numpy("probability") is None


def test_triton_reads_errors(client: triton.InferenceServerClient) -> None:
    """A failure reaches the caller of Triton's client as its message and status."""
    tensor = triton.InferInput("gre", [1], "INT64").set_data_from_numpy(np.array([900]))
    rest = inputs("admission", 1)[1:]
    with pytest.raises(InferenceServerException) as bad_row:
        client.infer("admission", [tensor, *rest])
    with pytest.raises(InferenceServerException) as unknown:
        client.infer("admision", [tensor, *rest])
    assert bad_row.value.status() == "400"
    assert bad_row.value.message() == "row 0: gre must be between 200 and 800"
    assert unknown.value.status() == "404"
    assert "did you mean admission?" in unknown.value.message()


@pytest.fixture(scope="module")
def kserve_python() -> Path:
    """The interpreter of an environment with KServe's client, which is kept beside the tests' own."""
    folder = Path(sys.prefix) / "kserve"
    requirements = ROOT / "tests" / "kserve_client.txt"
    wanted, stamp = requirements.read_text(encoding="utf-8"), folder / "requirements.txt"
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "-r",
        ]
        subprocess.run([*install, str(requirements)], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def test_kserve_infers(url: str, kserve_python: Path) -> None:
    """KServe's client finds the model ready, has its answers in both forms, and reads errors."""
    # A program of its own, not a `from tests.kserve_client import main`: there is no KServe here.
    program = ROOT / "tests" / "kserve_client.py"
    ended = subprocess.run(
        [kserve_python, program, url], capture_output=True, text=True, check=False, timeout=280
    )
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    rows = {
        "gre": np.array([660, 520]),
        "gpa": np.array([3.67, 2.93]),
        "rank": np.array([1, 4]),
    }
    wanted = tiny.model("admission").predict(rows).value
    assert (said["live"], said["ready"], said["model"], said["unknown"]) == (
        True,
        True,
        True,
        False,
    )
    for form in ("binary", "json"):
        assert said[form]["id"] == "mine"
        assert said[form]["probability"] == pytest.approx(wanted.tolist(), rel=1e-5)
        assert said[form]["admitted"] == (wanted >= 0.5).tolist()
    assert "row 0: gpa must be between 0 and 4" in said["error"]
