import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster

from models import weights
from models.bundle import WEIGHTS, pack
from models.errors import SettingsError
from models.rows import to_json
from models.store import Store
from models.tasks import TASKS
from tests import tiny
from tests.errands import die, double, note
from tests.searches import quick_search
from training import catalogue, cluster, data, search
from training.distil import Student
from training.progress import Lines
from training.scoring import parts, run
from training.scoring.run import Request
from training.trainer import train

WORKERS = 3
N_TASKS = 12


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalCluster]:
    """A real cluster of this machine: a scheduler and three processes that work."""
    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as made:
        yield made


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_come_from_the_processes_that_were_asked_for(jobs: int) -> None:
    """One job is this process alone, several are others; the results are the same."""
    found = list(cluster.map_unordered(double, ((n,) for n in range(N_TASKS)), jobs))
    assert sorted(number for number, _ in found) == list(range(0, 2 * N_TASKS, 2))
    assert (os.getpid() in {pid for _, pid in found}) == (jobs == 1)


@pytest.mark.slow
def test_ctrl_c_is_for_the_process_that_was_asked() -> None:
    """The processes that it starts ignore Ctrl-C, and show no traceback; it ends them."""
    before = signal.getsignal(signal.SIGINT)
    found = list(cluster.map_unordered(signal.getsignal, [(signal.SIGINT,)] * 4, 2))
    assert set(found) == {signal.SIG_IGN}
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.slow
def test_process_that_is_killed_is_told_in_one_line() -> None:
    """When memory runs out the system kills one; that is no fault of the code, and shows no traceback."""
    with pytest.raises(
        SettingsError, match=r"^--jobs 2: one of the processes was killed, as .* fewer"
    ):
        list(cluster.map_unordered(die, [()] * 2, 2))
    found = cluster.map_unordered(double, ((n,) for n in range(N_TASKS)), 2)
    assert sorted(number for number, _ in found) == list(range(0, 2 * N_TASKS, 2))


def test_missing_scheduler_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody answers is named, not traced."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with pytest.raises(SettingsError, match=r"^--dask tcp://127\.0\.0\.1:1: no scheduler answers"):
        list(cluster.map_unordered(double, [(1,)], dask="tcp://127.0.0.1:1"))


def test_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that takes the connection and says nothing is no scheduler, after a while."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SettingsError, match=r": no scheduler answers there within 0\.2 s$"):
            list(cluster.map_unordered(double, [(1,)], dask=address))


@pytest.mark.parametrize("address", ["nonsense", "inproc://1", "tls://127.0.0.1:1"])
def test_address_of_no_form_is_said_in_one_line(address: str) -> None:
    """So is one that is no address, with what would be one."""
    words = rf"^--dask {address}: must be the address of a scheduler, tcp://host:port \(.+\)$"
    with pytest.raises(SettingsError, match=words):
        list(cluster.map_unordered(double, [(1,)], dask=address))


def test_another_server_is_no_scheduler() -> None:
    """Nor is something that speaks first, and otherwise: the bytes mean nothing."""

    def greet() -> None:
        with other.accept()[0] as caller:
            caller.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            caller.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        greeting = Thread(target=greet)
        greeting.start()
        with pytest.raises(SettingsError, match=r": must be the address of a scheduler, tcp://h"):
            list(cluster.map_unordered(double, [(1,)], dask=f"tcp://127.0.0.1:{port}"))
        greeting.join()


@pytest.mark.slow
def test_cluster_without_a_worker_is_said_in_one_line() -> None:
    """Tasks would wait for ever for somebody to do them."""
    with (
        LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as empty,  # type: ignore[no-untyped-call]
        pytest.raises(SettingsError, match=r": the cluster has no worker$"),
    ):
        list(cluster.map_unordered(double, [(1,)], dask=empty.scheduler_address))


@pytest.mark.slow
def test_worker_is_no_scheduler(workers: LocalCluster) -> None:
    """The address of a worker is a likely mistake."""
    address = next(iter(workers.scheduler_info["workers"]))
    with pytest.raises(SettingsError, match=r": what answers is no scheduler$"):
        list(cluster.map_unordered(double, [(1,)], dask=address))


@pytest.mark.slow
def test_cluster_gives_the_results_of_one_machine(workers: LocalCluster) -> None:
    """Several workers share the tasks, and each result comes once."""
    address = workers.scheduler_address
    found = list(cluster.map_unordered(double, ((n,) for n in range(N_TASKS)), dask=address))
    assert sorted(number for number, _ in found) == list(range(0, 2 * N_TASKS, 2))
    assert len({pid for _, pid in found} - {os.getpid()}) > 1


@pytest.mark.slow
def test_tasks_of_a_killed_worker_are_done_again(workers: LocalCluster, tmp_path: Path) -> None:
    """A worker that dies in the middle of its task costs time, not the result."""
    tasks = ((n, tmp_path) for n in range(N_TASKS))
    results = cluster.map_unordered(note, tasks, dask=workers.scheduler_address)
    found = [next(results)]
    begun = [path.name.split("-") for path in tmp_path.iterdir()]
    victim = next(int(pid) for number, pid in begun if int(number) not in found)
    os.kill(victim, signal.SIGKILL)
    found += results
    assert sorted(found) == list(range(N_TASKS))
    assert len(list(tmp_path.iterdir())) > N_TASKS  # some task has begun twice


@pytest.mark.slow
def test_scoring_on_a_cluster_writes_the_bytes_of_one_machine(
    workers: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of a file are the same wherever they were scored."""
    monkeypatch.setattr(parts, "PART_ROWS", 500)
    Store(tmp_path / "store").publish(tiny.model("admission"), {})
    rows = tiny.rows("admission", 3_000, np.random.default_rng(0))
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table(to_json(TASKS["admission"], rows)), file, row_group_size=100)
    for name, address in (("here", None), ("there", workers.scheduler_address)):
        out, store = tmp_path / name, tmp_path / "store"
        request = Request("admission", (file,), out, store, None, 0.9, ".parquet", dask=address)
        run.run(request)
    here, there = (sorted((tmp_path / name).rglob("part-*")) for name in ("here", "there"))
    assert len(here) == 6
    assert [path.read_bytes() for path in here] == [path.read_bytes() for path in there]


@pytest.mark.slow
def test_search_on_a_cluster_finds_what_one_machine_finds(
    workers: LocalCluster, tmp_path: Path
) -> None:
    """The same trials with the same scores, whatever process tried them."""
    asked = quick_search()
    here = search.run(asked, 4, tmp_path / "here", 1, None)
    there = search.run(asked, 4, tmp_path / "there", 1, workers.scheduler_address)
    assert [(t.number, t.changes, t.score) for t in there] == [
        (t.number, t.changes, t.score) for t in here
    ]


@pytest.mark.slow
def test_training_on_a_cluster_gives_the_model_of_one_machine(workers: LocalCluster) -> None:
    """Networks, student, intervals and background: every number, and each fit is told of."""
    recipe, dataset = catalogue.RECIPES["bikes"], data.read("bikes")
    quick = replace(recipe.fit, epochs=2, average_epochs=0)
    student = Student(hidden=(8,), rows=2000, epochs=2)
    recipe = replace(recipe, links=("sqrt", "log"), hidden=(8,), student=student, fit=quick)
    models, said = [], []
    for address in (None, workers.scheduler_address):
        told: list[str] = []
        with cluster.backend(address):
            rows, rng = np.arange(2500), np.random.default_rng(0)
            models.append(train(recipe, dataset, rows, None, rng, Lines(told.append)).model)
        said.append({line.split(":")[0] for line in told})
    here, there = (weights.parse(pack(model, {})[WEIGHTS]) for model in models)
    assert here.keys() == there.keys()
    for name, array in here.items():
        # here BLAS may have several threads, there it has one: sums differ in their last bit
        np.testing.assert_allclose(array, there[name], rtol=1e-4, atol=1e-4, err_msg=name)
    assert {"networks", "held-out residuals 4 of 4"} <= said[0] & said[1]
