"""`train report`: a self-contained HTML page for each model, with plots, metrics and limits of use.

Ours are measured anew, on rows that the networks did not see. Those of peers come from `peers.json`, which
`bench/accuracy` writes; they were measured on the embedded data, so a report on other data has none.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from models import __version__, files
from models.model import Prediction
from models.task import Task
from training import catalogue, figures, overrides, plots, protocols
from training.data import SCHEMAS, Dataset
from training.evaluate import Evaluation, Scores, evaluate
from training.product import failings, sentence, shortcomings
from training.progress import Watch
from training.tables import OF_A_MODEL, named, number, remarks

LECTURE = {"bikes": "lecture-bikes", "admission": "lecture-gre"}
"""The recipe of the lecture for a task of the lecture."""
PEERS = Path(__file__).with_name("peers.json")
BASELINE = "simple baseline"
PARTITIONS = 5
"""How often a cross-validation is repeated."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #8884; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } code { overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; background: #fff; }
@media screen { figure img { max-width: max(100%, 52rem); } }
@media print {
body { font-size: 12px; } th, td { padding: .25rem .4rem; }
figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
}
figcaption { font-size: .9rem; }
.note { border-left: 4px solid #d55e00; padding-left: 1rem; }
"""


@dataclass(frozen=True)
class Picture:
    """A figure, and a sentence about what it shows, which is also its text alternative."""

    figure: Figure
    caption: str


def write(task: str, dataset: Dataset, folder: Path, seed: int, watch: Watch) -> Path:
    """Write <folder>/<task>.html and return its path. Raises SettingsError, TrainingError, OSError."""
    protocol = protocols.main(dataset.task)
    names = [task, LECTURE[task]] if task in LECTURE else [task]
    recipes = [overrides.check(catalogue.recipe(name, task)) for name in names]
    found = [evaluate(r, dataset, protocol, seed, PARTITIONS, watch) for r in recipes]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task}.html"
    files.replace_file(path, page(dataset, *found).encode())
    return path


def page(dataset: Dataset, ours: Evaluation, lecture: Evaluation | None = None) -> str:
    """The HTML of a report; without the lecture's evaluation for a task that it does not have."""
    task = dataset.task
    remarked = map(sentence, failings(ours) + shortcomings(ours.recipe, dataset))
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in (*task.limits_of_use, *remarked))
    told = remarks(ours)[1:]  # the caption of the table says the first
    said = "".join(f"<li>{escape(line)}</li>" for line in told)
    drawn = "".join(_picture(picture) for picture in _pictures(dataset, ours))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(task.name)}: report</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(task.title)}</h1><p>Recipe <code>{escape(ours.recipe.name)}</code>: "
        f"{escape(ours.recipe.description)}. Version {__version__}, seed {ours.seed}.</p>"
        f'<div class="note"><strong>Limits of use</strong><ul>{limits}</ul></div>'
        f"<h2>How good it is</h2>{_comparison(dataset, ours, lecture)}<ul>{said}</ul>"
        f"<h2>Pictures</h2>{drawn}"
        f"<h2>Data</h2><p><code>{escape(dataset.source)}</code>, {len(dataset):,} rows, SHA-256 "
        f"<code>{dataset.digest}</code>.</p></main></body></html>\n"
    )


def _comparison(dataset: Dataset, ours: Evaluation, lecture: Evaluation | None) -> str:
    """The table of metrics on the same rows: ours, the lecture's, the simple baseline's, the peers'."""
    rows: dict[str, Mapping[str, float]] = {
        f"ours ({_label(ours)})": ours.mean(lambda score: score.metrics),
        **_of_lecture(lecture),
        BASELINE: ours.mean(lambda score: score.baseline),
        **peers(dataset, ours.protocol),
    }
    metrics, task = list(ours.scores[0].metrics), dataset.task
    head = "".join(f'<th scope="col">{escape(named(name, task))}</th>' for name in metrics)
    body = "".join(
        f'<tr><th scope="row">{escape(who)}</th>'
        + "".join(f"<td>{_cell(who, found, m)}</td>" for m in metrics)
        + "</tr>"
        for who, found in rows.items()
    )
    caption = f"On {protocols.DESCRIPTIONS[ours.protocol]}"
    table = f"<table><caption>{escape(caption)}</caption><tr><td></td>{head}</tr>{body}</table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="Metrics">{table}</div>'


def _of_lecture(lecture: Evaluation | None) -> dict[str, dict[str, float]]:
    if lecture is None:
        return {}
    return {f"the lecture's ({_label(lecture)})": lecture.mean(lambda score: score.metrics)}


def _label(found: Evaluation) -> str:
    """The recipe, and the number of a cross-validation's partitions, as the peers' names have it."""
    n = len(found.scores)
    partitions = f", {n} partition{'s' if n > 1 else ''}" if found.protocol == "cv" else ""
    return f"{found.recipe.name}{partitions}"


def _cell(who: str, found: Mapping[str, float], metric: str) -> str:
    meaningless = who == BASELINE and metric in OF_A_MODEL
    return "-" if meaningless or metric not in found else number(found[metric])


def peers(dataset: Dataset, protocol: str) -> dict[str, dict[str, float]]:
    """The metrics of each peer that was measured with the same protocol on the same file, by its name."""
    task = dataset.task.name
    if dataset.digest != SCHEMAS[task].digest or not PEERS.exists():
        return {}
    measured: dict[str, dict[str, dict[str, dict[str, float]]]]
    measured = json.loads(PEERS.read_text("utf-8"))
    return measured.get(task, {}).get(protocol, {})


def _pictures(dataset: Dataset, ours: Evaluation) -> Sequence[Picture]:
    score, name, task = ours.scores[0], ours.recipe.name, dataset.task
    unit = f"loss ({ours.recipe.fit.loss})"
    taught = "" if ours.recipe.student is None else ", of the networks that the one learns from"
    pictures = [
        Picture(
            plots.losses(score.history, f"{name}: loss by epoch", unit),
            "Loss on the rows that were learned from, and on the validation rows where there are "
            f"any{taught}.",
        )
    ]
    if score.prediction is None or score.model is None or score.interval is None:
        return [
            *pictures,
            Picture(
                figures.reliability(score.target, score.forecast, task.decision),
                "Reliability: of the rows that were given about the same probability out of fold, "
                f"the share {task.decision}, with its 90 % interval (Wilson); one partition.",
            ),
        ]
    said = score.prediction
    columns = dataset.take(score.rows)
    return [
        *pictures,
        *(_by_time(dataset, score, said) if task.time_field else _by_row(task, score)),
        Picture(
            figures.coverage(score.model, columns, score.target),
            "How many outcomes lie inside the interval, at each level that may be asked for.",
        ),
        Picture(
            figures.coverage_by_group(score.interval["groups"], score.interval["level"]),
            "How many outcomes lie inside the 90 % interval, by "
            f"{', '.join(figures.GROUPS[kind] for kind in score.interval['groups'])}.",
        ),
    ]


def _by_row(task: Task, score: Scores) -> list[Picture]:
    """The picture of rows without a time."""
    return [
        Picture(
            figures.outcomes(task, score.target, score.forecast),
            f"What happened against the forecast, in {task.unit}: on the line they are the same.",
        )
    ]


def _by_time(dataset: Dataset, score: Scores, said: Prediction) -> list[Picture]:
    """The pictures that need the hour of each row."""
    hours, task = dataset.hours[score.rows], dataset.task
    title = "hours that the networks never saw"
    return [
        Picture(
            plots.forecast(task, hours, score.target, said, title),
            f"Forecast with its 90 % interval against the real {task.target} of the last 21 days.",
        ),
        Picture(
            figures.errors_by_time(task, hours, score.target, said.value),
            f"Mean absolute error and mean {task.target} by hour of the day and by weekday.",
        ),
    ]


def _picture(picture: Picture) -> str:
    image = io.BytesIO()
    picture.figure.savefig(image, format="png", dpi=110)
    encoded = base64.b64encode(image.getvalue()).decode()
    words = escape(picture.caption)
    return (
        '<figure><div class="wide" tabindex="0" role="group" aria-label="Picture">'
        f'<img alt="{words}" src="data:image/png;base64,{encoded}"></div>'
        f"<figcaption>{words}</figcaption></figure>"
    )
