"""The report: one page that needs nothing else, with every number that a reader asks for."""

import errno
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from playwright.sync_api import sync_playwright

from conftest import CHROMIUM_NAMES
from training import catalogue, data, report
from training.data import Dataset
from training.evaluate import evaluate
from training.progress import Nobody
from training.recipes import Recipe


def quick(name: str) -> Recipe:
    """A recipe that is fitted in a moment."""
    recipe = catalogue.RECIPES[name]
    links = recipe.links[:2]
    fit = replace(recipe.fit, epochs=5, average_epochs=0)
    student = recipe.student and replace(recipe.student, rows=500, epochs=2)
    return replace(recipe, links=links, fit=fit, student=student)


def page(task: str, protocol: str, dataset: Dataset) -> str:
    """The report of a task by recipes that are fitted in a moment."""
    made = [
        evaluate(quick(name), dataset, protocol, 0, 1, Nobody())
        for name in (task, report.LECTURE[task])
    ]
    return report.page(dataset, *made)


@pytest.fixture(scope="module")
def of_admission(admission: Dataset) -> str:
    """The page of admission on the embedded data."""
    return page("admission", "cv", admission)


def check_page(text: str, task: str, pictures: int) -> None:
    """What holds for every page."""
    assert not re.search(r"(src|href)=\"(?!data:)", text), "it needs no other file"
    assert "http" not in text
    alternatives = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,[^"]{1000,}"', text)
    assert len(alternatives) == pictures
    for words in ("Limits of use", "ours (", "the lecture", "simple baseline", "SHA-256"):
        assert words in text
    for limit in catalogue.RECIPES[task].task, data.SCHEMAS[task].digest:
        assert limit in text


def test_page_of_admission(of_admission: str) -> None:
    """The page of a probability shows its losses and a reliability diagram."""
    text = of_admission
    check_page(text, "admission", pictures=2)
    assert "No decision on a person should rest on this model." in text
    assert "calibration<br>" not in text
    assert "log loss" in text
    for name in ("ours (admission", "the lecture&#x27;s (lecture-gre"):
        assert f"{name}, 1 partition)" in text, "as the peers' names have it"
    (simple,) = re.findall(r"simple baseline</th>(.*?)</tr>", text)
    # of one answer for all: AUC, calibration slope and intercept
    assert simple.count("<td>-</td>") == 3


@pytest.mark.browser
def test_page_fits_a_narrow_screen(of_admission: str, tmp_path: Path) -> None:
    """On a telephone the table and each picture move sideways, in a size to read, by keyboard, too."""
    path = tmp_path / "admission.html"
    path.write_text(of_admission, encoding="utf-8")
    chromium = next(path for path in map(shutil.which, CHROMIUM_NAMES) if path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 380, "height": 800})
        shown.goto(path.as_uri())
        wide = shown.evaluate("document.documentElement.scrollWidth")
        shown.keyboard.press("Tab")
        focused = shown.evaluate("document.activeElement.getAttribute('aria-label')")
        shown.keyboard.press("Tab")
        picture = shown.locator(":focus img").bounding_box()
        shown.emulate_media(media="print")
        paper = shown.locator("img").first.bounding_box()
        shown.set_viewport_size({"width": 680, "height": 900})  # A4 between margins of 15 mm
        cut_off = shown.locator(".wide").first.evaluate("e => e.scrollWidth - e.clientWidth")
        browser.close()
    assert wide <= 380
    assert focused == "Metrics"
    assert picture
    assert picture["width"] > 700
    assert paper
    assert paper["width"] <= 380
    assert cut_off == 0, "nobody can move a table sideways on paper"


@pytest.mark.slow
def test_page_of_bikes(tmp_path: Path) -> None:
    """The page of a quantity shows losses, forecast, errors by time, coverage and that of groups."""
    lines = (data.DATASETS / "hour.csv").read_text().splitlines(keepends=True)
    (tmp_path / "part.csv").write_text("".join(lines[:3900]))
    dataset = data.read("bikes", tmp_path / "part.csv")
    text = page("bikes", "p1", dataset).replace(dataset.digest, data.SCHEMAS["bikes"].digest)
    check_page(text, "bikes", pictures=5)
    assert "<li>Its intervals are not widened for later days" in text
    assert re.search(r"90% intervals: 0\.\d{3} of the outcomes inside", text)


def test_page_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk there is the old report and no half of a new one."""
    monkeypatch.setattr(report, "evaluate", lambda *_: None)
    monkeypatch.setattr(report, "page", lambda *_: "new" * 10_000)
    (tmp_path / "admission.html").write_text("old")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("os.fsync", Mock(side_effect=full))
    with pytest.raises(OSError, match="No space left"):
        report.write("admission", data.read("admission"), tmp_path, 0, Nobody())
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_peers_that_were_not_measured_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison has the peers of peers.json, by protocol, and none where there are none."""
    dataset = data.read("admission")
    monkeypatch.setattr(report, "PEERS", tmp_path / "peers.json")
    assert report.peers(dataset, "cv") == {}
    (tmp_path / "peers.json").write_text('{"admission": {"cv": {"Some": {"brier": 0.2}}}}')
    assert report.peers(dataset, "cv") == {"Some": {"brier": 0.2}}
    assert report.peers(dataset, "holdout") == {}


def test_page_of_other_data_has_no_peers(
    admission: Dataset, of_admission: str, tmp_path: Path
) -> None:
    """The peers were measured on the embedded data: their scores say nothing about other rows."""
    text = (data.DATASETS / "admissions.csv").read_text(encoding="utf-8")
    (tmp_path / "mine.csv").write_text(text.rsplit("\n", 2)[0], encoding="utf-8")
    mine = data.read("admission", tmp_path / "mine.csv")
    names = report.peers(admission, "cv")
    assert names
    assert all(name in of_admission for name in names)
    of_mine = page("admission", "cv", mine)
    assert not any(name in of_mine for name in names)
