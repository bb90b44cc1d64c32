"""The pages in a Chromium: that they work, fail kindly, weigh little and exclude nobody."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from playwright.sync_api import Browser, FilePayload, Page, Request, Route, expect

from models.bundle import ARTIFACTS
from models.features import Inputs
from models.network import Tape
from models.store import Store
from models.tasks import TASKS
from service.keys import digest_of
from tests import tiny
from tests.browser import Visit, chromium, visiting
from tests.process import running
from training.backprop import gradient_step
from training.losses import LOSSES, mean_loss
from training.parameters import Architecture, zeros

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MOST_BYTES = 250_000
MOST_MS = 1_000
"""From the start of the navigation to the first picture; measured 10 times quicker on an idle machine."""
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGES = ["/", "/admission", "/learned/bikes", "/learned/admission", "/backpropagation", "/batch"]
MINUS = "\N{MINUS SIGN}"
DRAWN = ".chart svg *"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for all tests of this module."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the service fills with the models that come with the code."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def url_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running service whose models learned from data of someone's own."""
    store = Store(tmp_path_factory.mktemp("elsewhere"))
    for name in TASKS:
        made = json.loads((ARTIFACTS / name / "manifest.json").read_text())
        details = {key: made[key] for key in ("recipe", "seed", "history", "evaluation")}
        data = {"file": "oslo.csv", "sha256": 64 * "0", "rows": made["data"]["rows"]}
        store.publish(tiny.model(name), {**details, "data": data})
    with running(store=store.folder) as address:
        yield address


@pytest.fixture
def bikes(browser: Browser, url: str) -> Iterator[Visit]:
    """The bikes page, drawn."""
    with visiting(browser, url) as visit:
        expect(visit.page.locator(DRAWN).first).to_be_attached()
        expect(visit.page.locator(".bars tr").first).to_be_visible()
        yield visit


def _draw(page: Page, path: str) -> None:
    """Wait for the page's first picture; a batch has one when it has a file."""
    if path == "/batch":
        page.locator("#example").click()
    expect(page.locator(DRAWN).first).to_be_attached()


def _value(page: Page) -> str:
    return page.locator("#value").inner_text()


# ---- every page ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_page_excludes_nobody(browser: Browser, url: str, path: str) -> None:
    """Narrow and wide, light and dark, all parts unfolded: no barrier, no overflow, no complaint."""
    with visiting(browser, url + path, reduced_motion="reduce") as visit:
        page = visit.page
        _draw(page, path)
        page.wait_for_load_state("networkidle")
        page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        for width in (360, 1600):
            page.set_viewport_size({"width": width, "height": 800})
            page.evaluate("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
            assert visit.overflow() <= 0, width
            for theme in THEMES:
                page.emulate_media(color_scheme=theme)
                assert visit.barriers() == [], (width, theme)
        assert visit.complaints == []
        assert all(asked.startswith(url) for asked in visit.asked)


@pytest.mark.parametrize("path", PAGES)
def test_page_is_light_and_keeps_still(browser: Browser, url: str, path: str) -> None:
    """A first visit transfers little, draws at once, and moves nothing that is already there."""
    with visiting(browser, url + path) as visit:
        _draw(visit.page, path)
        drawn = visit.page.evaluate("performance.now()")
        visit.page.wait_for_load_state("networkidle")
        assert visit.transferred() < MOST_BYTES
        assert visit.shift() < 0.01
        assert drawn < MOST_MS * 10, "not even on a busy machine"


@pytest.mark.parametrize("path", PAGES)
def test_keyboard_reaches_the_content_past_the_header(
    browser: Browser, url: str, path: str
) -> None:
    """The first tab stop leads past the header, and what has the focus shows it."""
    with visiting(browser, url + path) as visit:
        visit.page.keyboard.press("Tab")
        expect(visit.page.locator(".skip")).to_be_focused()
        visit.page.keyboard.press("Enter")
        expect(visit.page.locator("#main")).to_be_focused()
        visit.page.keyboard.press("Tab")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert visit.page.evaluate(outline) != "none"


def test_print_has_the_whole_picture_in_ink(browser: Browser, url: str) -> None:
    """On paper, for whose width no script draws again, no hour is cut off and dark mode is over."""
    with visiting(browser, url, color_scheme="dark") as visit:
        page = visit.page
        page.add_init_script("window.ResizeObserver = class { observe() {} };")
        page.reload()
        expect(page.locator(DRAWN).first).to_be_attached()
        page.set_viewport_size({"width": 700, "height": 900})
        page.emulate_media(media="print")
        right = [
            page.locator(part).evaluate("e => e.getBoundingClientRect().right")
            for part in ("#chart", "#chart svg")
        ]
        assert right[1] <= right[0]
        dark = page.locator("body").evaluate("e => getComputedStyle(e).color")
        page.emulate_media(media="print", color_scheme="light")
        assert page.locator("body").evaluate("e => getComputedStyle(e).color") == dark


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("/", ("#chart", "#scenario-a .exact", "#why-title")),
        ("/learned/admission", ("#loss", "#loss-numbers", "#scores tr", "#inputs tr")),
    ],
)
def test_page_break_divides_nothing_that_is_read_as_one(
    browser: Browser, url: str, path: str, whole: tuple[str, ...]
) -> None:
    """A chart that is moved to the next sheet alone lies over the words below it."""
    kept = (
        "e => { while (e && getComputedStyle(e).breakInside !== 'avoid') e = e.parentElement;"
        " return Boolean(e); }"
    )
    with visiting(browser, url + path) as visit:
        expect(visit.page.locator(DRAWN).first).to_be_attached()
        visit.page.emulate_media(media="print")
        assert all(visit.page.locator(part).first.evaluate(kept) for part in whole)


def test_contrast_theme_of_the_system_shows_what_is_chosen(browser: Browser, url: str) -> None:
    """With colours forced by the system the chosen sky has a frame of its own, and sliders their track."""
    with visiting(browser, url, forced_colors="active") as visit:
        frames = visit.page.locator("#scenario-a .chip").evaluate_all(
            "chips => chips.map((chip) => getComputedStyle(chip).borderTopColor)"
        )
        assert frames.count(frames[0]) == 1
        kept = visit.page.locator("#hour").evaluate("e => getComputedStyle(e).forcedColorAdjust")
        assert kept == "none"


# ---- bikes --------------------------------------------------------------------------------------


def test_slider_moves_the_forecast_within_a_tenth_of_a_second(bikes: Visit) -> None:
    """Moved by keyboard, a slider asks for a new forecast within 100 ms, and the page shows its answer."""
    page = bikes.page
    before = page.locator("#chart").inner_html()
    page.evaluate("addEventListener('input', () => (window.moved ??= performance.now()), true)")
    page.get_by_label("Temperature, slider").first.focus()
    page.keyboard.press("End")
    expect(page.locator("#temperature")).to_have_value("40")
    page.wait_for_function(
        "(html) => document.querySelector('#chart').innerHTML !== html", arg=before
    )
    waited = page.evaluate(
        "performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/batch')"
        " && entry.startTime > moved)[0].startTime - moved"
    )
    assert waited < 100


@pytest.mark.parametrize(
    ("typed", "keys", "shown"),
    [
        ("24", ["ArrowUp", "ArrowUp"], "25"),
        ("21,5", ["ArrowUp"], "22"),
        ("0.1", ["ArrowDown"], "-0.4"),
        ("39.8", ["ArrowUp", "ArrowUp"], "40"),
        ("45", ["ArrowUp"], "45"),
        ("45", ["ArrowDown"], "44.5"),
        ("24", ["Shift+ArrowUp"], "24"),
        ("hot", ["ArrowUp"], "hot"),
    ],
)
def test_arrow_keys_step_a_number(bikes: Visit, typed: str, keys: list[str], shown: str) -> None:
    """By the steps of its slider, as far as that reaches, and a screen reader is told the number."""
    number = bikes.page.get_by_role("spinbutton", name="Temperature", exact=True).first
    number.fill(typed)
    for key in keys:
        number.press(key)
    expect(number).to_have_value(shown)
    told = number.get_attribute("aria-valuenow")
    assert told == (None if shown == "hot" else shown)
    if shown == "25":
        expect(bikes.page).to_have_url(re.compile("temperature=25"))
        expect(bikes.page.get_by_label("Temperature, slider").first).to_have_value("25")


def test_fast_changes_end_with_the_last(bikes: Visit, url: str) -> None:
    """However fast someone moves, the picture is that of the last position."""
    page = bikes.page
    page.locator("#humidity").focus()
    with page.expect_response(lambda answer: _asks(answer.request, '"humidity":[90,')) as last:
        for value in range(30, 91, 3):
            page.locator("#humidity").fill(str(value))
    shown = f"{last.value.json()['predictions'][17]['rentals']:,.0f}"
    expect(page.locator("#value")).to_have_text(shown)
    expect(page).to_have_url(re.compile("humidity=90"))
    page.reload()  # the address carries what is chosen
    expect(page.locator("#humidity")).to_have_value("90")
    expect(page.locator("#value")).to_have_text(shown)


def _asks(request: Request, words: str) -> bool:
    """Whether the body of a request has these words."""
    return words in (request.post_data or "")


def test_hour_is_chosen_by_keyboard_and_by_pointer(bikes: Visit) -> None:
    """The hour's slider, and a click in the picture, choose the hour that is described."""
    page = bikes.page
    page.locator("#hour").focus()
    page.keyboard.press("Home")
    expect(page.locator("#value-words")).to_contain_text("00:00 to 01:00")
    box = page.locator("#chart svg").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 50)
    expect(page.locator("#value-words")).to_contain_text("23:00 to 00:00")
    expect(page.locator("#why-hour")).to_have_text("23:00")


def test_explanation_adds_up_to_the_answer(bikes: Visit) -> None:
    """What the bars say, from the average, makes the forecast, but for what rounding takes."""
    page = bikes.page
    numbers = [
        float(text.replace(MINUS, "-")) for text in page.locator(".bars .number").all_inner_texts()
    ]
    found = re.findall(r"[\d,]+", page.locator("#why-words").inner_text())
    baseline, answer = (float(text.replace(",", "")) for text in found)
    assert baseline + sum(numbers) == pytest.approx(answer, abs=1 + len(numbers) / 2)


def test_second_weather_stands_in_the_same_picture(bikes: Visit) -> None:
    """Rain against sun: two curves in one picture, and a column of its own in the table."""
    page = bikes.page
    page.get_by_label("Compare another weather").check()
    expect(page.locator("#chart .line")).to_have_count(2)
    page.locator("#numbers summary").click()
    expect(page.locator("#numbers thead")).to_contain_text("Other weather")
    expect(page.locator("#numbers tbody tr")).to_have_count(24)


def test_what_really_happened_is_drawn_with_its_caveat(bikes: Visit) -> None:
    """On a day of the data the counted rentals are drawn, with the words that the model has seen them."""
    page = bikes.page
    page.get_by_label("Show what really happened").check()
    expect(page.locator("#chart .cross")).to_have_count(24)
    expect(page.locator("#real-note")).to_contain_text("trained on them")
    expect(page.locator("#real-note")).to_contain_text("CC BY 4.0")
    page.locator("#numbers summary").click()
    expect(page.locator("#numbers tbody tr").nth(8)).to_contain_text("694")
    page.locator("#date").fill("2013-07-04")
    expect(page.get_by_label("Show what really happened")).to_be_disabled()
    expect(page.locator("#facts")).to_contain_text("Independence Day")
    expect(page.locator("#warnings")).to_contain_text("later than what the model was trained on")


def test_holiday_is_of_the_day_and_felt_temperature_of_one_weather(
    browser: Browser, url: str
) -> None:
    """A chosen holiday holds with the measured weather, too; the other weather is not felt as the first."""
    chosen = (
        "/?date=2012-06-01&holiday=true&feels_like=8&compare=1&b.weather=clear&b.temperature=35"
    )
    with visiting(browser, f"{url}{chosen}&real=1") as visit:
        page = visit.page
        expect(page.locator("#chart .line")).to_have_count(2)
        page.locator("#code summary").click()
        code = page.locator("#code code").last
        expect(code).to_contain_text('"temperature": [35] * 24')
        assert code.inner_text().count('"holiday": [True] * 24') == 2
        assert code.inner_text().count('"feels_like": [8] * 24') == 1
        page.get_by_label("Forecast with the weather measured that day").check()
        expect(code).not_to_contain_text('"feels_like": [8] * 24')
        assert code.inner_text().count('"holiday": [True] * 24') == 2


def test_counts_are_not_drawn_beside_a_model_of_other_data(
    browser: Browser, url_elsewhere: str
) -> None:
    """Washington's counts say nothing of another city: there is no switch, and an address shows none."""
    with visiting(browser, f"{url_elsewhere}/?date=2012-06-01&real=1&measured=1") as visit:
        page = visit.page
        expect(page.locator("#chart .line").first).to_be_attached()
        expect(page.get_by_label("Show what really happened")).to_be_hidden()
        expect(page.locator("#real-note")).to_be_hidden()
        expect(page.locator("#temperature")).to_be_enabled()
        expect(page.locator("#chart .cross")).to_have_count(0)
        expect(page.locator("main")).not_to_contain_text("Counted that hour")
        expect(page.locator("h1")).not_to_contain_text("Washington")


def test_counts_follow_the_model_that_answers(browser: Browser, tmp_path: Path) -> None:
    """A page that is open while a model of other data is activated takes the counts away."""
    store = Store(tmp_path)
    store.fill_from(ARTIFACTS)
    with running(store=tmp_path) as url, visiting(browser, f"{url}/?real=1") as visit:
        page = visit.page
        expect(page.locator("#chart .cross")).to_have_count(24)
        store.publish(tiny.model("bikes"), {"data": {"file": "oslo.csv", "sha256": 64 * "0"}})
        version = store.current("bikes")
        while page.request.get(f"{url}/models/bikes").json()["version"] != version:
            page.wait_for_timeout(100)
        page.locator("#temperature").fill("20")
        expect(page.locator("#chart .cross")).to_have_count(0)
        expect(page.get_by_label("Show what really happened")).to_be_hidden()


@pytest.mark.parametrize("language", ["curl", "Python"])
def test_request_behind_the_picture_gives_its_numbers(bikes: Visit, language: str) -> None:
    """What is copied from the page runs as it is and answers what the page shows."""
    page = bikes.page
    page.locator("#code summary").click()
    snippet = page.locator(".snippet").filter(has=page.get_by_role("heading", name=language))
    expect(snippet.locator("code")).to_contain_text("explain=true")  # it is written late
    text = snippet.locator("code").inner_text()
    command = ["bash", "-c", text] if language == "curl" else [sys.executable, "-c", text]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    said = said.replace("}{", "}\n{") if language == "curl" else said.replace("'", '"')
    batch, single = (json.loads(line) for line in said.strip().split("\n"))
    assert len(batch["predictions"]) == 24
    assert batch["predictions"][17]["rentals"] == pytest.approx(single["rentals"])
    assert f"{single['rentals']:,.0f}" == _value(page)


# ---- admission ----------------------------------------------------------------------------------


@pytest.fixture
def admission(browser: Browser, url: str) -> Iterator[Visit]:
    """The admission page, drawn."""
    with visiting(browser, f"{url}/admission") as visit:
        expect(visit.page.locator(".bars tr")).to_have_count(3)
        yield visit


def test_admission_says_what_it_is_not_for(admission: Visit) -> None:
    """Beside the probability stands that these are teaching data, and that nothing should rest on it."""
    expect(admission.page.locator("main")).to_contain_text("No decision on a person")
    expect(admission.page.locator("#value-interval")).to_contain_text("90% confidence")


def test_probability_rises_along_the_inputs_as_they_are_moved(admission: Visit) -> None:
    """A higher score and a better school give a higher probability, in number and pictures alike."""
    page = admission.page
    low = int(_value(page).rstrip("%"))
    page.get_by_label("GRE score, slider").focus()
    page.keyboard.press("End")
    page.get_by_label("1, the most prestigious").check(force=True)
    expect(page.locator("#gre")).to_have_value("800")
    expect(page.locator("#value")).not_to_have_text(f"{low}%")
    page.wait_for_load_state("networkidle")
    assert int(_value(page).rstrip("%")) > low
    page.locator("#numbers summary").click()
    expect(page.locator("#numbers tbody tr")).to_have_count(31 + 41 + 4)


def test_picture_of_an_input_chooses_its_value(admission: Visit) -> None:
    """A click in a picture sets the field that it is about, and the address keeps it."""
    page = admission.page
    page.locator("#along-rank svg").click(position={"x": 60, "y": 60})
    expect(page.get_by_label("1, the most prestigious")).to_be_checked()
    expect(page).to_have_url(re.compile("rank=1"))
    page.locator("#gpa").fill("5")
    expect(page.locator("#gpa-fault")).to_contain_text("between 0 and 4")


def test_level_of_the_interval_is_kept_in_the_address(admission: Visit) -> None:
    """An address that is shared, or a reload, shows the very interval, and that it is not the usual one."""
    page = admission.page
    page.locator("#more summary").click()
    page.locator("#level").select_option("0.5")
    expect(page).to_have_url(re.compile("level=0.5"))
    page.reload()
    expect(page.locator("#value-interval")).to_contain_text("50% confidence")
    expect(page.locator("#level")).to_be_visible()


# ---- how it learned -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bikes", "admission"])
def test_card_is_told_as_a_page(browser: Browser, url: str, name: str) -> None:
    """Scores beside the simple forecast, losses, data, limits and versions are those of the card."""
    with visiting(browser, f"{url}/learned/{name}") as visit:
        page = visit.page
        expect(page.locator("#scores tbody tr").first).to_be_visible()
        card = page.request.get(f"{url}/models/{name}").json()
        expect(page.locator("#scores tbody tr")).to_have_count(len(card["evaluation"]["metrics"]))
        expect(page.locator("#scores caption")).to_contain_text(
            card["evaluation"]["baseline"]["description"]
        )
        expect(page.locator("#made")).to_contain_text(card["version"])
        expect(page.locator("#limits li")).to_have_count(len(card["limits_of_use"]))
        expect(page.locator("#versions li").filter(has_text="answers now")).to_contain_text(
            card["version"]
        )
        expect(page.locator("#inputs tbody tr")).to_have_count(len(card["fields"]))
        expect(page.locator("#loss .line").first).to_be_attached()


@pytest.mark.parametrize("name", ["bikes", "admission"])
def test_scores_stand_beside_those_of_the_same_rows_only(
    browser: Browser, url: str, url_elsewhere: str, name: str
) -> None:
    """The peers were measured on the embedded data: a model of other data is shown without them."""
    with visiting(browser, f"{url}/learned/{name}") as visit:
        expect(visit.page.locator("#peers-bars tr").nth(2)).to_be_visible()
        ours = {"bikes": "This model", "admission": "This model (1 partition)"}[name]
        named = visit.page.locator("#peers-bars").get_by_role("rowheader", name=ours, exact=True)
        expect(named).to_be_visible()  # with its partitions where the peers have theirs
    with visiting(browser, f"{url_elsewhere}/learned/{name}") as visit:
        expect(visit.page.locator("#scores tbody tr").first).to_be_visible()
        expect(visit.page.locator("#made")).to_contain_text("oslo.csv")
        expect(visit.page.locator("#peers")).to_be_hidden()


def test_curves_of_a_task_without_a_colour_of_its_own_are_drawn(browser: Browser, url: str) -> None:
    """A third task's page has an accent that the sheet does not know; its curves have a colour still."""
    with visiting(browser, f"{url}/learned/admission") as visit:
        line = visit.page.locator("#loss .line.a")
        expect(line).to_be_attached()
        visit.page.evaluate("document.documentElement.dataset.accent = 'visitors'")
        assert line.evaluate("e => getComputedStyle(e).stroke").startswith("rgb")


@pytest.mark.parametrize("like", ["bikes", "admission"])
def test_page_of_a_third_task_speaks_of_rows(browser: Browser, url: str, like: str) -> None:
    """It has no applications, and without a timestamp no days, by which an error could be taken."""

    def answer(route: Route) -> None:
        answer = route.fetch(url=route.request.url.replace("third", like))
        if not route.request.url.endswith("/models/third"):
            return route.fulfill(response=answer)
        card = answer.json()
        fields = [field for field in card["fields"] if field["kind"] != "timestamp"]
        return route.fulfill(json={**card, "fields": fields})

    with visiting(browser, url) as visit:
        for path in ("learned/third", "models/third", "models/third/versions"):
            visit.page.route(f"{url}/{path}", answer)
        visit.page.goto(f"{url}/learned/third")
        said = visit.page.locator("[aria-labelledby=trust-title]")
        expect(said).to_contain_text("by rows" if like == "bikes" else "the share of yes")
        for word in ("days", "pplications", "admitted"):
            expect(said).not_to_contain_text(word)
        visit.page.locator("#trust-numbers summary").click()
        expect(said.locator("thead")).not_to_contain_text("pplications")


def test_fields_are_read_on_a_phone_without_moving_sideways(browser: Browser, url: str) -> None:
    """Where four columns have no room, what is said of a field stands below it, with its heading."""
    with visiting(browser, f"{url}/learned/bikes", viewport={"width": 390, "height": 800}) as visit:
        inputs = visit.page.locator("#inputs")
        expect(inputs.locator("tbody tr").first).to_be_visible()
        assert inputs.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
        seen = inputs.locator("tr", has_text="humidity").locator("td").last
        before = seen.evaluate("e => getComputedStyle(e, '::before').content")
        assert before == '"Seen in training: "'


# ---- backpropagation ----------------------------------------------------------------------------


@pytest.fixture
def backpropagation(browser: Browser, url: str) -> Iterator[Visit]:
    """The page of the exercise, with the lecture's numbers beside."""
    with visiting(browser, f"{url}/backpropagation") as visit:
        expect(visit.page.locator("#formulas thead")).to_contain_text("In the lecture")
        yield visit


def test_formulas_of_the_page_are_those_of_the_project(backpropagation: Visit) -> None:
    """What the page computes is what `training` computes, for the lecture's numbers and any other."""
    page = backpropagation.page
    rng = np.random.default_rng(5)
    names = ("x1", "x2", "y", "w1", "w2", "v", "rate")
    starts = [dict(zip(names, rng.normal(0.0, 1.5, 7).tolist(), strict=True)) for _ in range(20)]
    source = page.evaluate("document.querySelector('script[type=module]').src")
    found = page.evaluate(
        "async ([url, starts]) => { const m = await import(url); return starts.map((s) => {"
        " const n = m.work(s); return [n.answer, n.loss, n.deltaO, n.deltaH, n.dv, n.dw1, n.dw2]; }); }",
        [source.replace("backpropagation.js", "lib/backprop.js"), starts],
    )
    np.testing.assert_allclose(found, [_project(start) for start in starts], rtol=1e-9, atol=1e-12)


def _project(start: dict[str, float]) -> list[float]:
    """The same numbers by the code that trains the networks."""
    parameters, gradient = (
        zeros(Architecture((2, 1, 1), "sigmoid", "sigmoid"), np.float64) for _ in range(2)
    )
    hidden, output = parameters.network.layers
    hidden.weights[0, :, 0] = start["w1"], start["w2"]
    output.weights[0, 0, 0] = start["v"]
    row = np.array([[start["x1"], start["x2"]]])
    inputs = Inputs(row, np.empty((1, 0), dtype=np.intp)).with_dense(2)
    target, loss = np.array([[start["y"]]]), LOSSES["half_mse"]
    tape = Tape.for_rows(parameters.network, 1)
    answer = gradient_step(parameters.network, inputs, target, loss, tape, gradient.network).copy()
    of_hidden, of_output = gradient.network.layers
    moves = -start["rate"] * np.array([of_output.weights.item(), *of_hidden.weights[0, :, 0]])
    deltas = -of_output.biases.item(), -of_hidden.biases.item()
    return [answer.item(), mean_loss(loss, answer, target), *deltas, *moves.tolist()]


def test_exercise_goes_forward_and_back(backpropagation: Visit) -> None:
    """Step after step each number appears, beside the lecture's; back takes them away again."""
    page = backpropagation.page
    values = page.locator("#formulas td:nth-of-type(3)")
    forward = page.get_by_role("button", name="Forward")
    expect(page.get_by_role("button", name="Back")).to_be_disabled()
    for _ in range(9):
        forward.click()
    expect(page.locator("#now")).to_contain_text("0.0004568")
    expect(page.locator("#formulas td:nth-of-type(4)").nth(4)).to_have_text("0.122")
    expect(page.locator("#net")).to_contain_text("∂L/∂w₂")
    page.get_by_role("button", name="Back").click()
    expect(values.nth(8)).to_have_text("")
    expect(values.nth(7)).to_have_text("0.0001523")
    for _ in range(3):
        page.get_by_role("button", name="To the end").click()
    expect(page.locator("#now")).to_contain_text("Step 3, 9 of 9")
    expect(page.locator("#formulas thead")).not_to_contain_text("In the lecture")


def test_loss_descends_while_one_watches(backpropagation: Visit) -> None:
    """With a rate of one's own the loss falls, step by step, in the picture and in the words."""
    page = backpropagation.page
    page.locator("#rate").fill("15")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#descent-words")).to_contain_text(re.compile(r"After \d+ steps"))
    page.get_by_role("button", name="Pause").click()
    page.locator("#numbers summary").click()
    cells = page.locator("#numbers td:nth-of-type(1)").all_inner_texts()
    losses = [float(cell) for cell in cells]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 2
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#net .dot, #descent .dot")).to_have_count(1)


def test_ticks_are_written_with_the_decimals_that_they_have(backpropagation: Visit) -> None:
    """Ticks that stand evenly are evenly labelled: 0.25 and 0.75, never 0.3 and 0.8."""
    found = backpropagation.page.evaluate(
        """async () => {
            const { exact, ticks } = await import("/pages/assets/any/lib/chart.js");
            return [0.9, 0.3, 900].map((high) => {
                const scale = ticks(0, high);
                return scale.map(exact(scale)).join(" ");
            });
        }"""
    )
    assert found == ["0.00 0.25 0.50 0.75 1.00", "0.0 0.1 0.2 0.3", "0 250 500 750 1000"]


# ---- outside the training data ------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["/?date=2026-12-01", "/admission?gre=200&gpa=1.5&rank=1"],
    ids=["bikes", "admission"],
)
def test_interval_outside_the_training_data_promises_no_share(
    browser: Browser, url: str, address: str
) -> None:
    """An interval was calibrated inside the training data: outside, no share of outcomes is named."""
    with visiting(browser, url + address) as visit:
        expect(visit.page.locator("#warnings")).to_be_visible()
        expect(visit.page.locator("#value-interval")).to_contain_text("calibrated inside")
        expect(visit.page.locator("#value-interval")).not_to_contain_text("90%")


def test_batch_says_of_how_many_rows_the_intervals_were_not_calibrated(
    browser: Browser, url: str
) -> None:
    """One of two applications is below all of the training data: the summary says what that means."""
    with visiting(browser, f"{url}/batch") as visit:
        page = visit.page
        page.get_by_label("Admission").check(force=True)
        rows = _csv([("gre", "gpa", "rank"), (660, 3.6, 1), (200, 1.5, 1)])
        page.locator("#file").set_input_files(rows)
        expect(page.locator("#summary")).to_contain_text(
            "1 outside what the model was trained on, where the intervals were not calibrated"
        )


# ---- a batch ------------------------------------------------------------------------------------


@pytest.fixture
def batch(browser: Browser, url: str) -> Iterator[Visit]:
    """The page of the batch."""
    with visiting(browser, f"{url}/batch") as visit:
        yield visit


def _csv(rows: list[tuple[object, ...]]) -> FilePayload:
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    return {"name": "mine.csv", "mimeType": "text/csv", "buffer": text.encode()}


def test_wrong_rows_are_told_with_their_reason(batch: Visit) -> None:
    """Of the example two rows are wrong; the others are drawn, and the result has them all."""
    page = batch.page
    page.locator("#example").click()
    expect(page.locator("#summary")).to_have_text("168 rows: 166 answered, 2 wrong.")
    expect(page.locator("#wrong tbody tr").first).to_contain_text("between -30 and 50 °C")
    expect(page.locator("#wrong tbody tr").last).to_contain_text("weather must be one of")
    expect(page.locator("#chart .line")).to_have_count(3)  # the wrong rows are gaps
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(rows) == 168
    assert [i for i, row in enumerate(rows) if row["error"]] == [60, 100]
    assert all(float(row["low"]) <= float(row["rentals"]) for row in rows if not row["error"])


def test_rows_that_are_all_wrong_have_no_picture(batch: Visit) -> None:
    """Axes without an answer say nothing, and push the reasons away; the next file has a picture again."""
    page, row = batch.page, "temperature,humidity,wind_speed,weather\n{},20,50,10,clear\n"
    for time, drawn in (("6/1/2012 17:00", False), ("2012-06-01T17:00", True)):
        file: FilePayload = {
            "name": "mine.csv",
            "mimeType": "text/csv",
            "buffer": f"timestamp,{row.format(time)}".encode(),
        }
        page.locator("#file").set_input_files(file)
        expect(page.locator("#summary")).to_contain_text("none wrong" if drawn else "1 wrong")
        expect(page.locator("#picture")).to_be_visible(visible=drawn)
        expect(page.locator("#chart .points")).to_have_count(int(drawn))


@pytest.mark.parametrize(
    ("label", "name", "wanted"),
    [
        ("Bike rentals", "bikes", ("temperature (°C)", "humidity (%)", "wind_speed (km/h)")),
        ("Admission", "admission", ("gre (200 to 800)", "gpa (0 to 4)", "rank (1 to 4)")),
    ],
)
def test_columns_are_told_with_what_goes_into_them(
    batch: Visit, label: str, name: str, wanted: tuple[str, ...]
) -> None:
    """A file of degrees Fahrenheit is answered all the same: who writes one reads the units first."""
    batch.page.get_by_label(label).check(force=True)
    told = batch.page.locator("#columns").inner_text()
    fields = TASKS[name].fields
    assert all(f"{field.name} (" in told for field in fields)
    assert all(choice in told for field in fields for choice in field.choices)
    assert all(words in told for words in wanted)


def test_dates_of_the_axis_stand_at_midnight(batch: Visit) -> None:
    """A week that begins at noon is marked where its days begin; within a day the marks are hours."""
    page = batch.page
    labels, weather = page.locator("#chart .axes .x"), (20, 50, 10, "clear")
    first = datetime(2012, 6, 1, 12, tzinfo=UTC)
    for hours, expected in (
        (168, [(12, "2012-06-02"), (60, "2012-06-04"), (108, "2012-06-06"), (156, "2012-06-08")]),
        (9, [(i, f"06-01 {12 + i}:00") for i in range(0, 9, 2)]),
    ):
        times = [f"{first + timedelta(hours=i):%Y-%m-%dT%H:%M}" for i in range(hours)]
        header = ("timestamp", "temperature", "humidity", "wind_speed", "weather")
        page.locator("#file").set_input_files(_csv([header, *[(at, *weather) for at in times]]))
        expect(page.locator("#summary")).to_contain_text(f"{hours} rows")
        assert labels.all_text_contents() == [text for _, text in expected]
        width = float(page.locator("#chart svg").get_attribute("width") or 0) - 52 - 40
        for label, (row, _) in zip(labels.all(), expected, strict=True):
            at = float(label.get_attribute("x") or 0)
            assert at == pytest.approx(52 + width * row / (hours - 1))


@pytest.mark.parametrize(("hours", "lines"), [("2", 0), ("01x2x34", 2)])
def test_hour_without_a_neighbour_is_drawn_as_a_point(batch: Visit, hours: str, lines: int) -> None:
    """An hour alone in its file, or between two faulty ones, makes no line: it is a point."""
    header = ("timestamp", "temperature", "humidity", "wind_speed", "weather")
    rows = [(f"2012-06-01T0{hour}:00", 20, 50, 10, "clear") for hour in hours]
    batch.page.locator("#file").set_input_files(_csv([header, *rows]))
    expect(batch.page.locator("#summary")).to_contain_text(f"{hours.count('x') or 'none'} wrong")
    expect(batch.page.locator("#chart .line")).to_have_count(lines)
    points = batch.page.locator("#chart .points").get_attribute("d") or ""
    assert points.count("M") == 1


def test_file_of_ones_own_is_answered_in_pieces(batch: Visit) -> None:
    """More rows than one request takes are sent in several, and none is lost."""
    page = batch.page
    page.get_by_label("Admission").check(force=True)
    rows = [(220 + 20 * (i % 30), 2.5 + (i % 16) / 10, 1 + i % 4) for i in range(5500)]
    page.locator("#file").set_input_files(_csv([("gre", "gpa", "rank"), *rows]))
    expect(page.locator("#summary")).to_have_text("5,500 rows: 5,500 answered, none wrong.")
    assert sum("/predict/admission/batch" in asked for asked in batch.asked) == 2
    assert page.locator("#chart .marks *").count() == 2, "thousands would take seconds to draw"
    page.locator("#numbers summary").click()
    expect(page.locator("#numbers tbody tr")).to_have_count(200)


def test_file_that_cannot_be_taken_says_why(batch: Visit) -> None:
    """A file of other columns is refused beside the place where it was dropped; the next is taken."""
    page = batch.page
    page.locator("#file").set_input_files(_csv([("gre", "gpa"), (500, 3)]))
    expect(page.locator("#file-fault")).to_contain_text("mine.csv")
    expect(page.locator("#file-fault")).to_contain_text("gre")
    expect(page.locator("#answers")).to_be_hidden()
    page.locator("#example").click()
    expect(page.locator("#summary")).to_contain_text("166 answered")
    expect(page.locator("#file-fault")).to_have_text("")


def test_file_that_is_no_text_is_told_what_to_do(batch: Visit) -> None:
    """Who drops a spreadsheet is not told that it has no rows."""
    page, content = batch.page, b"PK\x03\x04\x14\x00\x06\x00\xd3\x9f"
    page.locator("#file").set_input_files(
        {"name": "mine.xlsx", "mimeType": "text/csv", "buffer": content}
    )
    expect(page.locator("#file-fault")).to_have_text(
        "mine.xlsx: This is not UTF-8 text; save a spreadsheet as CSV first."
    )


def test_same_file_is_taken_again_after_it_was_mended(batch: Visit, tmp_path: Path) -> None:
    """Who mends the faulty rows and chooses the file of the same name again sees what became of them."""
    page, path = batch.page, tmp_path / "mine.csv"
    page.get_by_label("Admission").check(force=True)
    devtools = batch.context.new_cdp_session(page)  # chooses as a person does: no change, no event
    root = devtools.send("DOM.getDocument")["root"]["nodeId"]
    field = devtools.send("DOM.querySelector", {"nodeId": root, "selector": "#file"})["nodeId"]
    for gre, words in ((9000, "0 answered, 1 wrong"), (660, "1 answered, none wrong")):
        path.write_text(f"gre,gpa,rank\n{gre},3.6,1\n")
        with page.expect_file_chooser():
            page.locator("#drop").click()
        devtools.send("DOM.setFileInputFiles", {"files": [str(path)], "nodeId": field})
        expect(page.locator("#summary")).to_contain_text(words)


def test_what_cannot_be_read_is_said(batch: Visit) -> None:
    """A folder that is dropped has no text: the page says so, and does not stay silent."""
    batch.page.evaluate(
        """() => {
            const folder = new File([], "folder");
            folder.text = () => Promise.reject(new DOMException("", "NotReadableError"));
            const drop = new Event("drop", { bubbles: true, cancelable: true });
            drop.dataTransfer = { files: [folder] };
            document.querySelector("#drop").dispatchEvent(drop);
        }"""
    )
    expect(batch.page.locator("#file-fault")).to_contain_text("folder: This cannot be read")
    assert batch.complaints == []


def test_request_behind_a_batch_runs_whatever_the_name_of_the_file(
    batch: Visit, tmp_path: Path
) -> None:
    """An apostrophe in the name of a file does not break the command that sends it."""
    page, path = batch.page, tmp_path / "Ann's rows.csv"
    page.get_by_label("Admission").check(force=True)
    path.write_text("gre,gpa,rank\n660,3.6,1\n")
    page.locator("#file").set_input_files(path)
    page.locator("#code summary").click()
    command = page.locator("#code code").first.inner_text()
    said = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert len(json.loads(said.stdout)["predictions"]) == 1


def test_requests_behind_a_large_file_are_those_that_the_service_takes(
    batch: Visit, tmp_path: Path
) -> None:
    """A file of more rows than one request may have is sent in pieces, by the code as by the page."""
    page, path, n_rows = batch.page, tmp_path / "Ann's rows.csv", 12_345
    page.get_by_label("Admission").check(force=True)
    rows = "".join(f"{200 + i % 601},3.6,1\n" for i in range(n_rows))
    path.write_text(f"gre,gpa,rank\n{rows}")
    page.locator("#file").set_input_files(path)
    expect(page.locator("#summary")).to_contain_text("12,345 answered")
    page.locator("#code summary").click()
    for shell, code in zip(
        (["bash"], [sys.executable]), page.locator("#code code").all(), strict=True
    ):
        said = subprocess.run(
            [*shell, "-c", code.inner_text()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        answered = re.findall(r"""['"]probability['"]: ?([0-9.]+)""", said.stdout)
        assert len(answered) == n_rows, said.stdout[:300]
        assert len({f"{float(p):.6f}" for p in answered[::601]}) == 1, "in the order of the rows"


def test_model_of_a_batch_is_the_same_after_going_back(batch: Visit, url: str) -> None:
    """A browser that goes back restores which model was chosen; the words about columns follow."""
    page = batch.page
    page.get_by_label("Admission").check(force=True)
    page.goto(url)
    page.go_back()
    expect(page.get_by_label("Admission")).to_be_checked()
    words = "Columns: gre (200 to 800), gpa (0 to 4) and rank (1 to 4)."
    expect(page.locator("#columns p:visible")).to_have_text(words)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_in_any_csv(batch: Visit, end: str) -> None:
    """The page finds the rows that the service finds, whoever wrote the file."""
    page = batch.page
    page.get_by_text("Admission", exact=True).last.click()
    content = f"gre,gpa,rank{end}660,3.6,1{end}500,3.1,2{end}".encode()
    page.locator("#file").set_input_files(
        {"name": "mine.csv", "mimeType": "text/csv", "buffer": content}
    )
    expect(page.locator("#summary")).to_have_text("2 rows: 2 answered, none wrong.")


def test_rows_of_a_text_are_those_that_the_service_reads(batch: Visit) -> None:
    """A quote inside a cell, or an empty cell alone in its line, does not move the rows below it."""
    texts = [
        'gre,gpa,rank\n6"60,3.6,1\n500,3.1,2\n',
        'gre\n""\n\n"a ""b"""\r\n"x,\r\ny"\r5"',
        'a,b\n,\n"",""\n"",b"c"',
    ]
    found = batch.page.evaluate(
        """async (texts) => {
            const { parse, write } = await import("/pages/assets/any/lib/csv.js");
            return texts.map((text) => [parse(text), parse(write(parse(text)))]);
        }""",
        texts,
    )
    for text, (rows, again) in zip(texts, found, strict=True):
        assert rows == [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        assert again == rows


def test_reason_stands_in_its_column_whatever_the_width_of_the_row(batch: Visit) -> None:
    """A row with too few or too many cells is in the download with its reason under `error`."""
    page = batch.page
    page.get_by_label("Admission").check(force=True)
    rows = _csv([("gre", "gpa", "rank"), (660, 3.6), (500, 3.1, 2, 9), (660, 3.6, 1)])
    page.locator("#file").set_input_files(rows)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    found = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [row["error"][:15] for row in found] == ["the row has 2 c", "the row has 4 c", ""]
    assert None not in found[1]


# ---- failures -----------------------------------------------------------------------------------


def test_invalid_field_is_said_in_its_place(bikes: Visit) -> None:
    """A value that the service refuses is marked where it stands, in the service's words, until mended."""
    page = bikes.page
    temperature = page.locator("#temperature")
    temperature.fill("99")
    expect(page.locator("#temperature-fault")).to_have_text(
        "Temperature must be between -30 and 50 °C."
    )
    expect(temperature).to_have_attribute("aria-invalid", "true")
    # an answer to what was there before is pale
    expect(page.locator("#chart")).to_have_css("opacity", "0.35")
    assert bikes.barriers() == []
    temperature.fill("20")
    expect(page.locator("#chart")).to_have_css("opacity", "1")
    expect(page.locator("#temperature-fault")).to_have_text("")
    expect(temperature).not_to_have_attribute("aria-invalid", "true")


@pytest.mark.parametrize(
    ("address", "words"),
    [("/?feels_like=99", "Feels like must be between"), ("/admission?level=2", "Level must be")],
    ids=["bikes", "admission"],
)
def test_fault_in_a_folded_part_unfolds_it(
    browser: Browser, url: str, address: str, words: str
) -> None:
    """A page that cannot answer says why where it is seen, and to a screen reader."""
    with visiting(browser, url + address) as visit:
        fault = visit.page.get_by_role("alert").filter(has_text=words)
        expect(fault).to_be_visible()
        visit.page.locator("#more summary").click()
        expect(fault).to_be_hidden()


def test_empty_number_is_missing(bikes: Visit, admission: Visit) -> None:
    """Who empties a field is not told of null."""
    bikes.page.locator("#temperature").fill("")
    expect(bikes.page.locator("#temperature-fault")).to_have_text("Temperature is missing.")
    admission.page.locator("#gre").fill("")
    expect(admission.page.locator("#gre-fault")).to_contain_text("Gre is missing")


@pytest.mark.parametrize(
    ("typed", "sent"), [("5,5", 5.5), ("5.5", 5.5), (f"{MINUS}5", -5), ("1.234,5", "1.234,5")]
)
def test_number_is_sent_as_it_was_meant(bikes: Visit, typed: str, sent: float | str) -> None:
    """A decimal comma is one in a browser of any language; what is no number is refused, not changed."""
    page, field = bikes.page, bikes.page.locator("#temperature")
    field.fill("")
    with page.expect_request(lambda asked: _temperature_in(asked) == sent):
        field.press_sequentially(typed)
    expect(field).to_have_value(typed)
    no_number = "Temperature must be a number, and is text."
    expect(page.locator("#temperature-fault")).to_have_text(no_number if sent == typed else "")


def _temperature_in(request: Request) -> float | str | None:
    """The temperature of every row that a request asks for; None if it asks for none."""
    if "/predict/bikes/batch" not in request.url:
        return None
    found: list[float | str] = json.loads(request.post_data or "")["inputs"].get(
        "temperature", [None]
    )
    return found[0]


@pytest.mark.parametrize("status", [0, 503], ids=["away", "busy"])
def test_page_recovers_by_itself(bikes: Visit, status: int) -> None:
    """While the service is away or busy the page says so, keeps its picture, and goes on afterwards."""
    page = bikes.page

    def refuse(route: Route) -> None:
        if status:
            route.fulfill(status=status, headers={"Retry-After": "1"}, body="{}")
        else:
            route.abort()

    page.route("**/predict/**", refuse)
    page.locator("#temperature").fill("30")
    expect(page.locator("#notice")).to_contain_text("busy" if status else "does not answer")
    expect(page.locator(DRAWN).first).to_be_attached()
    assert bikes.barriers() == []
    page.unroute("**/predict/**")
    expect(page.locator("#notice")).to_have_text("")


@pytest.mark.parametrize("path", PAGES)
def test_page_whose_scripts_are_lost_says_so(browser: Browser, url: str, path: str) -> None:
    """A change of the network loses what is on its way: the page does not wait for it in silence."""
    with visiting(browser, url + path) as visit:
        page, notice = visit.page, visit.page.locator("#notice")
        expect(notice).to_have_text("")
        page.route("**/lib/words.js", lambda route: route.abort())
        page.reload()
        devtools = visit.context.new_cdp_session(page)
        devtools.send("Animation.enable")
        # or it takes its eight seconds
        devtools.send("Animation.setPlaybackRate", {"playbackRate": 100})
        expect(notice.get_by_text("scripts of this page have not arrived")).to_be_visible()
        assert visit.barriers() == []
        page.unroute("**/lib/words.js")
        notice.get_by_role("link", name="Load it again").click()
        _draw(page, path)
        expect(notice).to_have_text("")


def test_key_is_asked_for_in_place_and_kept(browser: Browser, store: Path) -> None:
    """With keys on, the page asks for one, uses it, and has it still after a reload; requests show it."""
    key = "a-key-of-this-test"
    with (
        running(store=store, keys=f"tester:sha256:{digest_of(key.encode()).decode()}") as url,
        visiting(browser, url) as visit,
    ):
        page = visit.page
        field = page.get_by_label("API key")
        for wrong, words in (
            ("wrong", "not valid"),
            (f"\N{LEFT DOUBLE QUOTATION MARK}{key}", "letter"),
        ):
            field.fill(wrong)
            page.get_by_role("button", name="Use it").click()
            expect(page.locator("#notice")).to_contain_text(words)
        field.fill(key)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator(DRAWN).first).to_be_attached()
        page.reload()
        expect(page.locator(DRAWN).first).to_be_attached()
        page.locator("#code summary").click()
        expect(page.locator("#code")).to_contain_text("X-API-Key")
        expect(page.locator("#code")).not_to_contain_text(key)
