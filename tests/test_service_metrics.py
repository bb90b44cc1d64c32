"""What the service counts, as Prometheus reads it; the dashboard and the alert rules that ask for it."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp

from models import drift
from models.bundle import ARTIFACTS
from models.errors import BundleError, StoreError
from models.store import Store
from models.tasks import TASKS
from service.app import create_app
from service.cells import Cells
from service.keys import Keyring, KeysLayer
from service.limits import LimitsLayer, limits_of
from service.metrics import MOST_VERSIONS, Metrics
from service.registry import Event, Registry
from service.served import Served
from service.settings import Settings
from tests.asgi import Recorder, http_scope, receive_of
from tests.process import ROOT
from tests.serving import VERSION, connect, example, tiny_served
from tests.test_cells import leave
from training.data import read

OBSERVABILITY = ROOT / "deploy" / "observability"
ROW, OUTSIDE = {"gre": 700, "gpa": 3.7, "rank": 2}, {"gre": 210, "gpa": 3.7, "rank": 2}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Worker:
    """A worker of a group, in process: its application and its metrics."""

    def __init__(self, folder: Path | None = None) -> None:
        settings = Settings()
        self.registry = Registry({name: tiny_served(name) for name in TASKS})
        limits = limits_of(settings, (f"/predict/{name}" for name in TASKS))
        self.metrics = Metrics(self.registry, (limits.rows, limits.batches), folder)
        self.limits = limits

        def limiting(app: ASGIApp) -> ASGIApp:
            return LimitsLayer(app, limits)

        self.app = create_app(
            self.registry,
            settings,
            layers=[limiting],
            observers=[self.metrics],
            metrics=self.metrics,
        )

    async def post(self, path: str, body: Any) -> int:
        """The status of a request."""
        async with connect(self.app) as client:
            return (await client.post(path, json=body)).status_code

    async def scrape(self) -> Samples:
        """Every sample that the worker shows."""
        async with connect(self.app) as client:
            answer = await client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that have these labels."""
    wanted = set(labels.items())
    return sum(v for (found, has), v in samples.items() if found == name and wanted <= has)


@pytest.mark.anyio
async def test_requests_are_counted_by_what_became_of_them() -> None:
    """Route, method, status, model and version of each request; the histogram counts them all."""
    worker = Worker()
    for _ in range(3):
        assert await worker.post("/predict/admission", ROW) == 200
    assert await worker.post("/predict/admission", {}) == 422
    assert await worker.post("/nowhere/to/be/found", {}) == 404
    found = await worker.scrape()
    labels = {"route": "/predict/admission", "model": "admission", "version": VERSION}
    assert total(found, "http_requests_total", status="200", method="POST", **labels) == 3
    assert total(found, "http_requests_total", status="422", **labels) == 1
    assert total(found, "http_requests_total", route="none", status="404") == 1
    assert total(found, "http_request_duration_seconds_count", **labels) == 4
    assert total(found, "http_request_duration_seconds_bucket", le="+Inf", **labels) == 4
    assert 0 < total(found, "http_request_duration_seconds_sum", **labels) < 60


@pytest.mark.anyio
async def test_rows_are_counted_by_model() -> None:
    """Rows answered, rejected and warned, what was predicted, and the fields that lay outside."""
    worker = Worker()
    await worker.post("/predict/admission", OUTSIDE)
    rows = [ROW, OUTSIDE, {"gre": "no number", "gpa": 3.7, "rank": 2}, ROW]
    assert await worker.post("/predict/admission/batch", {"instances": rows}) == 200
    found = await worker.scrape()
    of_model = {"model": "admission", "version": VERSION}
    assert total(found, "model_predictions_total", **of_model) == 4
    assert total(found, "model_rows_rejected_total", **of_model) == 1
    assert total(found, "model_rows_warned_total", **of_model) == 2
    outside = "model_inputs_outside_training_range_total"
    assert total(found, outside, field="gre", **of_model) == 2
    assert total(found, outside, field="gpa", **of_model) == 0
    assert total(found, "model_prediction_value_count", **of_model) == 4
    assert total(found, "model_input_drift_rows", model="admission", field="gre") == 4
    assert total(found, "model_input_drift_psi", model="admission", field="gre") > 0


@pytest.mark.anyio
async def test_workers_of_a_group_tell_the_same_sums(tmp_path: Path) -> None:
    """Whichever worker is asked, it shows what all have counted, those included that are gone."""
    one, other = Worker(tmp_path), Worker(tmp_path)
    for worker, number in ((one, 3), (other, 5)):
        for _ in range(number):
            await worker.post("/predict/admission", ROW)
        worker.metrics.monitor.fold()
    for worker in (one, other):
        found = await worker.scrape()
        assert total(found, "http_requests_total", route="/predict/admission") == 8
        assert total(found, "model_predictions_total", model="admission") == 8
        assert total(found, "model_prediction_value_count", model="admission") == 8
        assert total(found, "model_input_drift_rows", model="admission", field="gpa") == 8
        assert total(found, "service_workers") == 2
    leave(one.metrics._cells)
    found = await other.scrape()
    assert total(found, "http_requests_total", route="/predict/admission") == 8
    assert total(found, "service_workers") == 1
    leave(other.metrics._cells)


@pytest.mark.anyio
async def test_events_and_lost_load_are_counted() -> None:
    """Swaps, refusals and an unreadable store by model; requests without a place by kind; log lines."""
    worker = Worker()
    before = await worker.scrape()
    names = ("model_swaps_total", "model_refusals_total", "model_store_errors_total")
    assert [total(before, name, model="bikes") for name in names] == [0, 0, 0]
    assert ("http_requests_shed_total", frozenset({("kind", "batches")})) in before
    for kind in ("swapped", "refused", "refused", "unreadable"):
        worker.metrics.on_event(Event(kind, "bikes", VERSION, seconds=0.5))
    worker.limits.rows.taken = worker.limits.rows.places
    assert await worker.post("/predict/admission", ROW) == 503
    worker.metrics.on_drop(7)
    found = await worker.scrape()
    assert [total(found, name, model="bikes") for name in names] == [1, 2, 1]
    assert total(found, "http_requests_shed_total", kind="single rows") == 1
    assert total(found, "http_requests_total", route="/predict/admission", status="503") == 1
    assert total(found, "service_log_lines_dropped_total") == 7
    assert total(found, "model_load_seconds_sum", model="bikes") == 0.5
    assert total(found, "model_info", model="bikes", version=VERSION) == 1


def test_store_that_cannot_be_read_at_the_start_is_counted(tmp_path: Path) -> None:
    """Nobody listens to the registry then, and the fault is told once in an outage."""
    pointer = tmp_path / "bikes" / "current"
    pointer.parent.mkdir()
    pointer.write_text("no version")
    served = {name: tiny_served(name) for name in TASKS}
    registry = Registry(served, store=Store(tmp_path))
    registry.poll()
    lines = Metrics(registry).render().decode().splitlines()
    assert 'model_store_errors_total{model="bikes"} 1' in lines
    assert 'model_store_errors_total{model="admission"} 0' in lines


REFUSED = {
    "/v2/models/admission/infer": "/v2/models/{name}/infer",
    "/models/admission": "/models/{name}",
    "/static/reference.js": "/static/{name}",
    "/pages/assets/x/y/z.css": "/pages/assets/{digest}/{name:path}",
    "/metrics": "/metrics",
    "/predict/bikes/batch": "/predict/bikes/batch",
    "/path/of/nothing": "none",
}


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "route"), REFUSED.items())
async def test_request_refused_before_its_route_is_counted_there(path: str, route: str) -> None:
    """What keys, places or the server refuse before a route is found has the label of that route."""
    worker = Worker()
    worker.limits.batches.taken = worker.limits.batches.places
    assert await worker.post(path, {}) == 503
    worker.limits.batches.taken = 0
    cut_off = http_scope(path) | {"refused": 408}
    await worker.app(cut_off, receive_of(), Recorder())
    found = await worker.scrape()
    for status in ("503", "408"):
        assert total(found, "http_requests_total", route=route, status=status) == 1


@pytest.mark.anyio
async def test_request_without_a_key_is_counted_at_its_route() -> None:
    """Who asks which route without a key can be seen; paths that do not exist make no series."""
    worker = Worker()
    keyed = partial(KeysLayer, keyring=Keyring(None))
    app = create_app(worker.registry, Settings(), layers=[keyed], observers=[worker.metrics])
    async with connect(app) as client:
        for path in ("/models/bikes", "/models/none", "/v2/models/bikes/ready", "/x", "/y"):
            assert (await client.get(path)).status_code == 401
    found = await worker.scrape()
    counted = {"/models/{name}": 2, "/v2/models/{name}/ready": 1, "none": 2}
    for route, number in counted.items():
        assert total(found, "http_requests_total", route=route, status="401") == number


@pytest.mark.anyio
async def test_places_in_use_are_shown_while_they_are() -> None:
    """The gauge follows the places; what is answered at once holds its place to the end of the turn."""
    worker = Worker()
    rows = worker.limits.rows

    async def shown() -> float:
        return total(await worker.scrape(), "http_requests_in_progress", kind="single rows")

    rows.enter()
    assert await shown() == 1
    rows.leave(in_microbatch=False)
    assert await shown() == 0
    for _ in range(3):
        rows.enter()
        rows.leave(in_microbatch=True)
    assert rows.gauge[0] == 3
    await asyncio.sleep(0)
    assert await shown() == 0


@pytest.mark.anyio
async def test_unknown_paths_and_methods_make_no_series_of_their_own() -> None:
    """A caller cannot fill the memory of the metrics by asking for ever new paths."""
    worker = Worker()
    async with connect(worker.app) as client:
        for i in range(20):
            await client.request(f"M{i}", f"/path/{i}")
            await client.get(f"/models/none{i}")
    names = {labels for name, labels in await worker.scrape() if name == "http_requests_total"}
    assert len(names) <= 2


@pytest.mark.anyio
async def test_pages_and_their_parts_are_counted_by_their_templates() -> None:
    """Every route has its name in the metrics, those of the pages and files, too."""
    worker = Worker()
    asked = ("/", "/batch", "/bikes", "/docs", "/static/reference.js", "/pages/assets/x/style.css")
    async with connect(worker.app) as client:
        for path in asked:
            await client.get(path)
        await client.head("/batch")
    shown = await worker.scrape()
    routes = {dict(labels)["route"] for name, labels in shown if name == "http_requests_total"}
    parts = {"/static/{name}", "/pages/assets/{digest}/{name:path}"}
    assert routes == {*asked[:4], *parts}


@pytest.mark.anyio
@pytest.mark.parametrize("n_cells", [3, 11, 14, 30])
async def test_histograms_of_another_release_are_left_out(tmp_path: Path, n_cells: int) -> None:
    """SIGHUP may start new code beside old workers, whose histograms may have other buckets."""
    old = Cells(tmp_path)
    labels = ("admission", VERSION)
    old.block(("request", "/predict/admission", "POST", "200", *labels), n_cells)
    old.block(("answers", "bikes", VERSION), n_cells)
    old.block(("answers", "a_model_of_before", VERSION), n_cells)
    worker = Worker(tmp_path)
    assert await worker.post("/predict/admission", ROW) == 200
    assert await worker.post("/predict/bikes", example(TASKS["bikes"])) == 200
    found = await worker.scrape()
    assert total(found, "http_request_duration_seconds_count", model="admission") == 1
    assert total(found, "model_prediction_value_count") == 2
    bounds = {dict(has)["le"] for name, has in found if name == "model_prediction_value_bucket"}
    assert {"0.5", "500"} < bounds
    for cells in (old, worker.metrics._cells):
        leave(cells)


@pytest.mark.anyio
async def test_versions_of_long_ago_are_shown_no_more() -> None:
    """However many versions come, what is shown stays of one size; the one that answers is always there."""
    worker = Worker()
    first, sizes = worker.registry["admission"], []
    for i in range(40):
        version = f"20260102T030405Z-{i:08x}"
        worker.registry.swap(Served("admission", version, first.model, first.manifest))
        await worker.post("/predict/admission", ROW)
        sizes.append(len(worker.metrics.render()))
    assert max(sizes[20:]) < 1.02 * min(sizes[20:])
    worker.registry.swap(first)
    await worker.post("/predict/admission", ROW)
    found = await worker.scrape()
    labels = {"route": "/predict/admission", "status": "200"}
    assert total(found, "http_requests_total", version=VERSION, **labels) == 1
    assert total(found, "http_requests_total", **labels) == MOST_VERSIONS + 1


@pytest.mark.anyio
async def test_names_follow_the_conventions_of_prometheus() -> None:
    """Snake case, base units, `_total` on counters alone, one help text each, no label twice."""
    worker = Worker()
    await worker.post("/predict/bikes", example(TASKS["bikes"]))
    text = worker.metrics.render().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE)
    assert [name for name, _ in helps] == list(kinds)
    for name, kind in kinds.items():
        assert re.fullmatch(r"(http|model|service)(_[a-z]+)+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|millis|minutes|count|sum|bucket)$", name)


EXPRESSIONS = re.compile(r'"expr": "(.+)"|^ *expr: (.+)$', re.MULTILINE)


def expressions() -> Iterator[str]:
    """Every expression of the dashboard and of the rules."""
    for name in ("dashboard.json", "alerts.yml"):
        text = (OBSERVABILITY / name).read_text(encoding="utf-8")
        found = [a.replace('\\"', '"') or b for a, b in EXPRESSIONS.findall(text)]
        assert len(found) >= 10
        yield from found


@pytest.mark.anyio
async def test_dashboard_and_rules_ask_for_what_is_there() -> None:
    """Every metric, label and value of a label in an expression is one that the service shows."""
    worker = Worker()
    for path, body in (("admission", ROW), ("bikes", example(TASKS["bikes"]))):
        await worker.post(f"/predict/{path}", body)
    worker.registry._refuse("bikes", VERSION, BundleError("digest differs"))
    worker.registry._trouble("bikes", StoreError("was there, and is missing"))
    samples = await worker.scrape()
    names = {name for name, _ in samples}
    labels = {key for _, pairs in samples for key, _ in pairs} | {"job", "instance"}
    for expression in expressions():
        used = set(re.findall(r"\b(?:http|model|service)_[a-z_]+\b", expression))
        assert used <= names, expression
        assert used or "up{" in expression
        inside = ",".join(re.findall(r"\{([^}]*)\}", expression))
        grouped = ",".join(re.findall(r"(?:by|on) \(([^)]*)\)", expression))
        assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", inside)) <= labels, expression
        assert set(re.findall(r"\w+", grouped)) <= labels, expression


def test_the_rows_of_a_season_raise_no_alert_of_drift() -> None:
    """A month of the training rows would itself be drift: a model that reads timestamps has no alert."""
    dataset, manifest = read("bikes"), (ARTIFACTS / "bikes" / "manifest.json").read_text("utf-8")
    bins = drift.bins_of(dataset.task, json.loads(manifest)["reference"])["temperature"]
    months = dataset.hours.astype("datetime64[M]")
    of_months = [
        bins.psi(bins.count(dataset.columns["temperature"][months == month]))
        for month in np.unique(months)
    ]
    assert min(of_months) > 0.25
    rules = (OBSERVABILITY / "alerts.yml").read_text(encoding="utf-8")
    (asked,) = re.findall(r"expr: (.*model_input_drift_psi.*)", rules)
    left_out = f'model_input_drift_psi{{field="{dataset.task.time_field}"}}'
    assert asked.endswith(f" unless on (model) {left_out}")
    assert asked in (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")


def test_rules_take_every_task_that_may_be_added() -> None:
    """The name of a task may have digits and underscores; batches are slower, and no part of the rule."""
    rules = (OBSERVABILITY / "alerts.yml").read_text(encoding="utf-8")
    (asked,) = re.findall(r'route=~"([^"]*)"', rules)
    for name, taken in (("bikes", True), ("net_load", True), ("flats2", True), ("a/batch", False)):
        assert bool(re.fullmatch(asked, f"/predict/{name}")) is taken, name


def test_dashboard_is_one_that_grafana_reads() -> None:
    """Panels have their own ids and places, and every one of them asks for something."""
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text(encoding="utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) >= 12
    assert all(target["expr"] for panel in panels for target in panel["targets"])


async def _busy() -> bytes:
    """The metrics of a worker that has answered."""
    worker = Worker()
    for path, body in (("admission", ROW), ("bikes", example(TASKS["bikes"]))):
        await worker.post(f"/predict/{path}", body)
    return worker.metrics.render()


def test_prometheus_asks_each_replica() -> None:
    """A target of its own for every container: of several behind one name, one would count for all."""
    asked = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text(encoding="utf-8"))
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    (job,) = asked["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert "static_configs" not in job
    assert (found["type"], found["port"]) == ("A", 8000)
    assert all(f"\n  {name}:\n" in compose for name in found["names"])


@pytest.mark.promtool
def test_promtool_accepts_metrics_rules_and_their_tests() -> None:
    """Prometheus' own tool finds no fault in names, configuration and rules, which fire as they should."""
    promtool = shutil.which("promtool")
    assert promtool is not None
    commands: dict[tuple[str, ...], bytes] = {
        ("check", "metrics"): asyncio.run(_busy()),
        ("check", "config", "prometheus.yml"): b"",
        ("test", "rules", "alerts_test.yml"): b"",
    }
    for command, given in commands.items():
        result = subprocess.run(
            [promtool, *command], cwd=OBSERVABILITY, input=given, capture_output=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
