"""The parts of bench/accuracy that need no library of the peers."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.accuracy import lines, rows, special, table
from bench.accuracy.lines import Lines, winners
from bench.accuracy.peer import MOST_ROUNDS, Fit, hour_of_week
from tests.process import ROOT
from training import report
from training.baselines import baseline


def days(*dates: str) -> special.Days:
    """Dates as an array."""
    return np.array(dates, dtype="datetime64[D]")


def test_distances_to_christmas_and_thanksgiving() -> None:
    """The distance is signed, to the nearest Christmas and the year's Thanksgiving, and is held."""
    around = days("2011-12-24", "2012-01-02", "2012-07-04", "2011-11-24", "2012-11-23")
    assert special.from_christmas(around).tolist() == [-1, 8, -12, -12, -12]
    assert special.from_thanksgiving(around).tolist() == [4, -3, -3, 0, 1]


def test_peers_know_what_our_networks_know_of_special_days() -> None:
    """Days off, leave, federal-only holidays and the sun are the very variables of our networks."""
    dataset, hours = rows.read()
    variables = dataset.task.derive(dataset.columns)
    for name, ours in {
        "effective_working_day": "working_day",
        "away": "away",
        "sun": "sun",
    }.items():
        column = variables[:, dataset.task.variables.index(ours)]
        np.testing.assert_array_equal(hours.columns[name], column)
    assert {"away", "federal_only", "effective_working_day"} <= set(rows.COLUMNS)


@pytest.mark.parametrize("study", ["p1", "p3", "rolling"])
def test_simple_baseline_is_that_of_the_product(study: str) -> None:
    """The table's baseline is what `train evaluate` prints, also where training days have gaps."""
    dataset, hours = rows.read()
    for split in rows.studies(dataset)[study].scoring:
        fitted = hour_of_week(Fit({}, hours.take(split.train), None, 0))
        found = fitted.predict(hours.take(split.test))
        np.testing.assert_allclose(found, baseline(dataset, split.train, split.test))


def test_lines_go_on_where_they_stopped(tmp_path: Path) -> None:
    """What one run wrote, the next one reads; `replace` leaves the other lines alone."""
    file = Lines(tmp_path / "new" / "file.jsonl")
    file.add(peer="a", trial=0)
    file.add(peer="b", trial=0)
    again = Lines(tmp_path / "new" / "file.jsonl")
    again.replace([{"peer": "a", "trial": 7}], peer="a")
    assert Lines(file.path).where(trial=0) == [{"peer": "b", "trial": 0}]
    assert Lines(file.path).where(peer="a") == [{"peer": "a", "trial": 7}]


def test_winners_are_chosen_by_each_criterion() -> None:
    """The least RMSE wins one line of the table, the least RMSE times RMSLE the other."""
    trials = [{"rmse": 50.0, "rmsle": 0.6}, {"rmse": 51.0, "rmsle": 0.4}]
    assert winners(trials) == {"RMSE": trials[0], "RMSE x RMSLE": trials[1]}
    assert winners([]) == {}


def test_the_readme_says_what_the_peers_do_without() -> None:
    """Which variables only the trees get, and where fits end, is in the README as it is in the code."""
    text = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    source = (ROOT / "bench" / "accuracy" / "networks.py").read_text(encoding="utf-8")
    lacking = [name for name in ("christmas", "federal_only") if f'"{name}"' not in source]
    told = "The trees get two more, days from Christmas and federal-only holidays"
    assert (told in text) == (lacking == ["christmas", "federal_only"])
    (epochs,) = re.findall(r"^EPOCHS, PATIENCE = (\d+), ", source, re.MULTILINE)
    assert f"the latest end is after {MOST_ROUNDS} rounds, or {epochs} epochs" in text
    ended = {"boosters": [0, 0], "networks": [0, 0]}
    for peer in ("lightgbm", "catboost", "xgboost", "torch-mlp", "sklearn-mlp"):
        kind, most = ("networks", int(epochs)) if "mlp" in peer else ("boosters", MOST_ROUNDS)
        for seed in range(5):
            tried = table.results("trials").where(peer=peer, study=f"p2-{seed}")
            for winner in winners(tried).values():
                ended[kind][0] += winner["rounds"] == most
                ended[kind][1] += 1
    words = [f"{at_end} of {of} of the" for at_end, of in ended.values()]
    assert all(
        f"{counts} {kind}" in " ".join(text.split())
        for counts, kind in zip(words, ended, strict=True)
    )


def test_coverage_lets_the_hours_of_a_day_be_wrong_together() -> None:
    """With whole days missed the standard error is that of days, not that of hours."""
    split: dict[str, Any] = {"rows": 48, "width": 10.0, "score": 20.0}
    split |= {"per_day": [[24, 24], [24, 0]], "days": [5, 9]}
    for splits in ([split], [split, split]):  # the same days in a second one tell nothing more
        share, error, width, score = table.coverage(splits)
        assert (share, width, score) == (0.5, 10.0, 20.0)
        assert error == pytest.approx(np.std([1.0, 0.0], ddof=1) / np.sqrt(2))


def test_the_coverage_of_windows_is_told_with_its_scatter() -> None:
    """A window may be wrong as a whole, and the standard error by day does not tell: the page does."""
    kept = table.results("ours").where(task="bikes", protocol="rolling")
    shares = table.coverage_by_split([line["interval"] for line in kept])
    worst, second, *_, best = sorted(shares)
    page = (ROOT / "docs" / "intervals.md").read_text(encoding="utf-8")
    assert f"of one window {100 * worst:.0f} %" in page
    assert f"of the others {100 * second:.0f} to {100 * best:.0f} %" in page
    assert f"standard deviation of {100 * np.std(shares, ddof=1):.0f} points" in page
    assert f"| {worst:.3f} to {best:.3f} |" in table.intervals()


def test_the_least_of_each_column_is_bold() -> None:
    """A reader sees the winner of every column, whoever it is."""
    rows = [(["a"], [1.0, 4.0]), (["b"], [2.0, 3.0])]
    assert table.table(["", "x", "y"], rows, (1, 2)).splitlines()[2:] == [
        "| a | **1.0** | 4.00 |",
        "| b | 2.0 | **3.00** |",
    ]


def test_the_table_says_where_a_peer_is_ahead() -> None:
    """Every metric in which the best peer beats ours is named with both numbers."""
    rows = [([table.OURS, "", ""], [25.0, 36.0, 0.4]), (["CatBoost", "", "50"], [26.0, 35.0, 0.4])]
    assert table.peer_wins("p1", rows) == ["- p1, RMSE: CatBoost 35, ours 36."]


def test_the_written_table_is_that_of_the_kept_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RESULTS.md is what the script writes from the lines beside it, never edited by hand."""
    written = lines.RESULTS.parent / "RESULTS.md"
    monkeypatch.setattr(table, "TABLE", tmp_path / "RESULTS.md")
    table.main()
    assert (tmp_path / "RESULTS.md").read_text() == written.read_text()


def test_peers_of_the_reports_are_those_of_the_bench() -> None:
    """`training/peers.json` is what the bench's results say: else `python -m bench.accuracy.table`."""
    assert json.loads(report.PEERS.read_text("utf-8")) == table.peers_json()
