"""The metrics of the service, for Prometheus.

`Metrics` observes exchanges and listens to the registry, and counts into `service.cells`. The text for
Prometheus is made from the cells of all workers on request. Counting one request for a single row takes
about a microsecond.

    http_requests_total, http_request_duration_seconds     by route, method, status, model, version
    http_requests_in_progress, http_requests_shed_total    by kind of place
    model_predictions_total, model_rows_*                  by model and version
    model_prediction_value, model_input_*                  what answers and inputs look like
    model_swaps_total, model_refusals_total, ...           what the registry did
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service import monitor
from service.cells import GAUGE, Cells
from service.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from starlette.types import Scope

    from service.cells import Key
    from service.exchange import Exchange
    from service.limits import Gate
    from service.registry import Event, Registry
    from service.served import Served

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the latency histogram, in seconds."""

MOST_VERSIONS = 10
"""How many versions of a model are shown: the latest. Older ones are kept, but not shown."""

CLIENT_GONE = 499
"""The status of a request whose caller left before the answer began, as nginx counts it."""

_OK = 200
_SUM = len(SECONDS) + 1
"""The place of the sum of all times in the cells of a histogram."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST, _EVENT, _LOAD, _SHED, _DROPPED = "request", "event", "load", "shed", "dropped"


@dataclass
class Family:
    """A metric as it is shown: samples are (suffix, labels, value)."""

    name: str
    kind: str
    help: str
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)

    def add(self, value: float, suffix: str = "", /, **labels: str) -> None:
        """Add a sample."""
        self.samples.append((suffix, labels, value))

    def add_histogram(
        self, bounds: Iterable[float], cells: list[float], labels: dict[str, str]
    ) -> None:
        """Add the samples of a histogram, whose cells are its buckets, the one above them, and the sum."""
        total = 0.0
        for bound, count in zip((*bounds, float("inf")), cells, strict=False):
            total += count
            self.add(total, "_bucket", **labels, le=_number(bound))
        self.add(cells[-1], "_sum", **labels)
        self.add(total, "_count", **labels)

    def lines(self) -> Iterator[str]:
        """The text of this metric."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for suffix, labels, value in self.samples:
            inside = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
            yield f"{self.name}{suffix}{{{inside}}} {_number(value)}"


class Metrics:
    """Counts; is an observer of exchanges (called) and a listener of the registry (`on_event`).

    gates : whose places, taken and refused, are counted.
    folder : where the workers of a group keep their cells; None for one process.
    """

    def __init__(
        self, registry: Registry, gates: Sequence[Gate] = (), folder: Path | None = None
    ) -> None:
        self._registry = registry
        self._cells = Cells(folder)
        self._values = self._cells.values
        self.monitor = Monitor(self._cells)
        self._of_rows: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._buckets = {n: monitor.answer_buckets(registry[n]) for n in registry.names()}
        for gate in gates:
            cell = self._cells.block((GAUGE, "places", gate.kind))
            gate.gauge, gate.on_shed = self._values[cell : cell + 1], self.on_shed
        self._values[self._cells.block((GAUGE, "worker"))] = 1.0
        self._begin_at_zero(gates)
        # at the start, before anybody could listen
        early = [("refused", refusal.model) for refusal in registry.refusals]
        for event in (*early, *(("unreadable", name) for name in registry.troubles)):
            self._values[self._cells.block((_EVENT, *event))] += 1.0

    def _begin_at_zero(self, gates: Sequence[Gate]) -> None:
        """Create all counters at 0: Prometheus misses an increase from a counter that did not exist."""
        self._dropped = self._cells.block((_DROPPED,))
        for gate in gates:
            self._cells.block((_SHED, gate.kind))
        for model in self._registry.names():
            self._cells.block((_LOAD, model), 2)
            for kind in _EVENTS:
                self._cells.block((_EVENT, kind, model))
            self.monitor.prepare(self._registry[model])

    def __call__(self, exchange: Exchange, scope: Scope) -> None:
        """Count a request that is over."""
        served, row, seconds, values = exchange.served, exchange.row, exchange.seconds, self._values
        if served is None or row is None or exchange.status != _OK:
            self._count(exchange, scope)
            return
        of_rows = self._of_rows.get((served.name, served.version))
        start, answered, warned = of_rows or self._new_of_rows(served, exchange, scope)
        values[start + bisect_left(SECONDS, seconds)] += 1.0
        values[start + _SUM] += seconds
        values[answered] += 1.0
        outside = exchange.outside > 0
        if outside:
            values[warned] += 1.0
        self.monitor.add_row(served, row, exchange.value, warned=outside)

    def _count(self, exchange: Exchange, scope: Scope) -> None:
        """Count any other request than a single row that was answered."""
        served, values = exchange.served, self._values
        start = self._series(exchange, scope)
        values[start + bisect_left(SECONDS, exchange.seconds)] += 1.0
        values[start + _SUM] += exchange.seconds
        if served is not None and exchange.values is not None and exchange.columns is not None:
            answered = len(exchange.values)
            self.monitor.count(served, exchange.rows, answered, exchange.outside)
            if answered:
                warned = exchange.outside > 0
                self.monitor.add(served, exchange.columns, exchange.values, warned=warned)

    def _new_of_rows(
        self, served: Served, exchange: Exchange, scope: Scope
    ) -> tuple[int, int, int]:
        """The cells of answered single rows: their times, their number, and that of rows with a warning."""
        made = (self._series(exchange, scope), *self.monitor.cells_of_rows(served))
        self._of_rows[served.name, served.version] = made
        return made

    def _series(self, exchange: Exchange, scope: Scope) -> int:
        """The first cell of the histogram of requests with the labels of this one."""
        served = exchange.served
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status = str(exchange.status or CLIENT_GONE)
        name, version = (served.name, served.version) if served is not None else ("", "")
        key = (_REQUEST, exchange.route, method, status, name, version)
        return self._cells.block(key, len(SECONDS) + 2)

    def on_event(self, event: Event) -> None:
        """Count what the registry did."""
        self._values[self._cells.block((_EVENT, event.kind, event.model))] += 1.0
        if event.kind == "swapped":
            self.monitor.prepare(self._registry[event.model])
            start = self._cells.block((_LOAD, event.model), 2)
            self._values[start] += event.seconds
            self._values[start + 1] += 1.0

    def on_shed(self, kind: str) -> None:
        """Count a request that found no place."""
        self._values[self._cells.block((_SHED, kind))] += 1.0

    def on_drop(self, lines: int) -> None:
        """Count lines that the log had to drop."""
        self._values[self._dropped] += lines

    def render(self) -> bytes:
        """The metrics of all workers as text for Prometheus."""
        self.monitor.fold()
        read = list(self._cells.read())
        cells = self._merged(read)
        families = [*_http(cells), *_places(cells), *_models(cells, self._buckets)]
        families += [*_registry(cells), *self._now(read)]
        return "".join(
            line + "\n" for family in families if family.samples for line in family.lines()
        ).encode()

    def _merged(self, read: list[tuple[Key, list[float]]]) -> dict[Key, list[float]]:
        """The sums over the processes, without old versions, and without another release's histograms."""
        merged: dict[Key, list[float]] = {}
        shown = self._shown_versions(read)
        for key, values in read:
            if not shown.issuperset(_version_of(key)) or not self._is_ours(key, len(values)):
                continue
            known = merged.get(key)
            if known is None:
                merged[key] = values
            elif len(known) == len(values):  # else it is of another release: its last moments
                merged[key] = [a + b for a, b in zip(known, values, strict=True)]
        return merged

    def _is_ours(self, key: Key, n_cells: int) -> bool:
        """Whether a block can be of this release: a histogram must have as many cells as ours."""
        if key[0] == monitor.ANSWERS:
            return key[1] in self._buckets and n_cells == len(self._buckets[key[1]]) + 2
        return key[0] != _REQUEST or n_cells == len(SECONDS) + 2

    def _shown_versions(self, read: list[tuple[Key, list[float]]]) -> set[tuple[str, str]]:
        """(model, version) of what answers now, and of the latest MOST_VERSIONS of each model.

        Otherwise a service that takes a new version every hour would show more and more series.
        """
        seen: dict[str, dict[str, None]] = defaultdict(dict)  # versions in the order of their cells
        for key, _ in read:
            for model, version in _version_of(key):
                seen[model][version] = None
        latest = {(model, v) for model, found in seen.items() for v in [*found][-MOST_VERSIONS:]}
        return latest | {(name, self._registry[name].version) for name in self._registry.names()}

    def _now(self, read: list[tuple[Key, list[float]]]) -> Iterator[Family]:
        """Metrics of what is loaded now, in the process that was asked."""
        registry = self._registry
        info = Family("model_info", "gauge", "The version of each model that answers.")
        psi = Family(
            "model_input_drift_psi",
            "gauge",
            "Population stability index of the inputs of the last hour against the training rows.",
        )
        rows = Family("model_input_drift_rows", "gauge", "Rows behind model_input_drift_psi.")
        for name in registry.names():
            served = registry[name]
            info.add(1.0, model=name, version=served.version)
            for field_name, (index, n_rows) in self.monitor.drifts(served, read).items():
                psi.add(index, model=name, field=field_name)
                rows.add(n_rows, model=name, field=field_name)
        refused = Family(
            "model_version_refused", "gauge", "Versions of the store that the service refuses, why."
        )
        for refusal in registry.refusals:
            refused.add(1.0, model=refusal.model, version=refusal.version, reason=refusal.reason)
        unreadable = Family(
            "model_store_unreadable", "gauge", "Models whose store cannot be read now, why."
        )
        for name, reason in registry.troubles.items():
            unreadable.add(1.0, model=name, reason=reason)
        yield from (info, psi, rows, refused, unreadable)


def _version_of(key: Key) -> set[tuple[str, str]]:
    """The (model, version) that a block belongs to, in a set; empty if it belongs to none."""
    if key[0] == _REQUEST:
        return {(key[4], key[5])}
    return {(key[1], key[2])} if key[0] in monitor.OF_VERSIONS else set()


def _of(cells: dict[Key, list[float]], family: str) -> Iterator[tuple[Key, list[float]]]:
    return ((key[1:], values) for key, values in cells.items() if key[0] == family)


def _http(cells: dict[Key, list[float]]) -> Iterator[Family]:
    requests = Family("http_requests_total", "counter", "Requests that were answered.")
    seconds = Family(
        "http_request_duration_seconds", "histogram", "Time from the request to its answer."
    )
    histograms: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0] * (len(SECONDS) + 2))
    for (route, method, status, model, version), values in _of(cells, _REQUEST):
        labels = {"route": route, "method": method, "status": status}
        requests.add(sum(values[:-1]), **labels, model=model, version=version)
        known = histograms[route, model, version]
        known[:] = [a + b for a, b in zip(known, values, strict=True)]
    for (route, model, version), values in histograms.items():
        labels = {"route": route, "model": model, "version": version}
        seconds.add_histogram(SECONDS, values, labels)
    yield from (requests, seconds)


def _places(cells: dict[Key, list[float]]) -> Iterator[Family]:
    taken = Family("http_requests_in_progress", "gauge", "Requests that are worked on.")
    shed = Family("http_requests_shed_total", "counter", "Requests refused for want of a place.")
    workers = Family("service_workers", "gauge", "Worker processes.")
    dropped = Family(
        "service_log_lines_dropped_total",
        "counter",
        "Lines that the reader of the log did not take.",
    )
    for key, values in _of(cells, GAUGE):
        if key == ("worker",):
            workers.add(values[0])
        else:
            taken.add(values[0], kind=key[1])
    for (kind,), values in _of(cells, _SHED):
        shed.add(values[0], kind=kind)
    for _, values in _of(cells, _DROPPED):
        dropped.add(values[0])
    yield from (taken, shed, workers, dropped)


_COUNTS = {
    monitor.ROWS: ("model_predictions_total", "Rows that were answered."),
    monitor.REJECTED: ("model_rows_rejected_total", "Rows of batches that could not be answered."),
    monitor.WARNED: ("model_rows_warned_total", "Rows that were answered with a warning."),
    monitor.OUTSIDE: (
        "model_inputs_outside_training_range_total",
        "Rows whose field lies outside the training range.",
    ),
}


def _models(
    cells: dict[Key, list[float]], buckets: Mapping[str, Sequence[float]]
) -> Iterator[Family]:
    """What models answered; buckets : of each model the upper bounds of its answers' histogram."""
    for family, (name, help_) in _COUNTS.items():
        counter = Family(name, "counter", help_)
        for (model, version, *fields), values in _of(cells, family):
            of_field = {"field": fields[0]} if fields else {}
            counter.add(values[0], model=model, version=version, **of_field)
        yield counter
    answers = Family("model_prediction_value", "histogram", "What was predicted, in its unit.")
    for (model, version), values in _of(cells, monitor.ANSWERS):
        answers.add_histogram(buckets[model], values, {"model": model, "version": version})
    yield answers


_EVENTS = {
    "swapped": (
        "model_swaps_total",
        "Versions that took the place of another, counted by each worker.",
    ),
    "refused": ("model_refusals_total", "Versions refused, counted by each worker."),
    "unreadable": ("model_store_errors_total", "Times that the store could not be read."),
}


def _registry(cells: dict[Key, list[float]]) -> Iterator[Family]:
    families = {kind: Family(name, "counter", help_) for kind, (name, help_) in _EVENTS.items()}
    for (kind, model), values in _of(cells, _EVENT):
        families[kind].add(values[0], model=model)
    load = Family(
        "model_load_seconds",
        "summary",
        "Time to load and check a version that takes the place of another.",
    )
    for (model,), (seconds, count) in _of(cells, _LOAD):
        load.add(seconds, "_sum", model=model)
        load.add(count, "_count", model=model)
    yield from (*families.values(), load)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    return repr(int(value)) if value == int(value) else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
