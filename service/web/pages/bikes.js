// The page of the bike forecast: a day, its weather, and what the model makes of them.

import { ask, Failure } from "./lib/api.js";
import { bars } from "./lib/bars.js";
import { codeIn } from "./lib/code.js";
import { DATASETS, isEmbedded } from "./lib/datasets.js";
import { drawDay } from "./lib/day.js";
import { byId, table, tableIn } from "./lib/dom.js";
import { fieldsOf, setNumber } from "./lib/fields.js";
import { live } from "./lib/live.js";
import { responsive } from "./lib/chart.js";
import { count, dayName, hourName, later, percent, plain, sentence, signed } from "./lib/words.js";

const PATH = "/predict/bikes";
const CARD = "/models/bikes";
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const MORE = ["holiday", "feels_like", "level"];
const MEASURED = ["temperature", "feels_like", "humidity", "wind_speed"];

const hour = byId("hour");
const date = byId("date");
const [when, first, second, more] = ["when", "scenario-a", "scenario-b", "more"].map((id) =>
  fieldsOf(byId(id), () => changed()),
);
const showTable = tableIn(byId("numbers"));
const showCode = codeIn(byId("code"));
const redraw = responsive(byId("chart"), draw);

let shown = null; // what is in the picture: {date, a, b, real, level}
let counted = null; // whether the model learned from the data whose counts are at hand; null until its card is read
let cardOf = null; // the version whose card was read
const changed = live(update, showFaults);
const readCard = live(updateCounted);
const explain = live(updateExplanation);

// ---- the requests ---------------------------------------------------------------------------

/** The rows of the day, with a weather that stays or with the weather that was measured. */
function dayOf(weather, real) {
  const { holiday } = more.values();
  return HOURS.map((at) => ({
    timestamp: `${date.value}T${hourName(at)}:00`,
    ...(real ? measuredAt(real, at) : weather),
    ...(holiday === "" ? {} : { holiday: holiday === "true" }),
  }));
}

/** The measured weather at an hour; where the record has a gap, that of the nearest hour before or after. */
function measuredAt(real, at) {
  const before = real.hour.findLastIndex((known) => known <= at);
  const i = Math.max(before, 0);
  const numbers = Object.fromEntries(MEASURED.map((name) => [name, real[name][i]]));
  return { ...numbers, weather: real.weathers[real.weather[i]] };
}

/** The rows by column; what is undefined is left out, as JSON leaves it out of a row. */
const columns = ([first, ...rest]) =>
  Object.fromEntries(
    Object.entries(first)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, [value, ...rest.map((row) => row[name])]]),
  );

const level = () => Number(byId("level").value);

async function forecast(fields, rows, signal) {
  const request = { path: `${PATH}/batch?strict=true&level=${level()}`, body: { inputs: columns(rows) } };
  const answer = await ask(request.path, { body: request.body, signal }).catch((error) => {
    error.fields = fields; // the form that the faults are about
    throw error;
  });
  return { rows, request, predictions: answer.predictions, model: answer.model };
}

const days = new Map();

async function calendarOf(day, signal) {
  if (!days.has(day)) days.set(day, await ask(`/pages/calendar/${encodeURIComponent(day)}`, { signal }));
  return days.get(day);
}

const months = new Map();

/** What was counted on a day of the data, or null. */
async function realOf(day, signal) {
  const month = day.slice(0, 7);
  if (!months.has(month)) {
    const url = new URL(`./data/rentals/${month}.json`, import.meta.url);
    months.set(month, await ask(url.pathname, { signal }));
  }
  const { days: known, weathers, credit } = months.get(month);
  return known[day] ? { ...known[day], weathers, credit } : null;
}

/** Counts say nothing of a model that learned from other data, which are another city's or other years'. */
async function updateCounted(signal) {
  const [card, digests] = await Promise.all([CARD, DATASETS].map((path) => ask(path, { signal })));
  const before = counted;
  [cardOf, counted] = [card.version, isEmbedded(card, digests)];
  if (counted === before) return;
  arrange(date.value);
  if (byId("real").checked) changed();
}

const inData = (day) => day >= "2011-01-01" && day <= "2012-12-31";

// ---- updating the page -----------------------------------------------------------------------------

async function update(signal) {
  const day = date.value;
  if (!day) throw new Failure("", { faults: { timestamp: "choose a date" } });
  arrange(day);
  const [facts, { real, a, b }] = await Promise.all([calendarOf(day, signal), scenarios(day, signal)]);
  shown = { date: day, a, b, real, level: level() };
  if (a.model.version !== cardOf) readCard();
  showFacts(facts);
  showAnswer();
  remember();
}

/** The forecasts, and the counted rentals if they are to be shown. */
async function scenarios(day, signal) {
  const real = byId("real").checked && counted && inData(day) ? await realOf(day, signal) : null;
  const measured = byId("measured").checked && real;
  const { feels_like } = more.values();
  const felt = feels_like === undefined ? {} : { feels_like };
  const [a, b] = await Promise.all([
    forecast(first, dayOf({ ...first.values(), ...felt }, measured), signal),
    byId("compare").checked ? forecast(second, dayOf(second.values()), signal) : null,
  ]);
  return { real, a, b };
}

/** Show and enable the parts of the page that apply to the current choices. */
function arrange(day) {
  const real = byId("real");
  real.parentElement.hidden = counted === false;
  real.disabled = counted === false || !inData(day);
  real.parentElement.title = real.disabled ? "There are only records for 2011 and 2012" : "";
  const showsReal = real.checked && !real.disabled;
  byId("real-note").hidden = !showsReal;
  byId("measured-switch").hidden = !showsReal;
  byId("scenario-a").disabled = showsReal && byId("measured").checked;
  byId("scenario-b").hidden = !byId("compare").checked;
}

function showFacts({ weekday, season, holiday, weekend, day_off: off }) {
  const known = weekend ? "weekend" : off ? "day off" : "working day";
  const said = { true: "counted as a holiday", false: "not counted as a holiday" }[more.values().holiday];
  byId("facts").textContent = [weekday, season, holiday, said ?? known].filter(Boolean).join(" · ");
}

/** Show a failure next to the fields that it is about; null clears. Returns whether any was shown. */
function showFaults(failure) {
  const faults = { ...failure?.faults };
  if (faults.date) faults.timestamp = faults.date;
  const shownIn = [when, more, failure?.fields ?? first].map((fields) => fields.fault(faults));
  if (failure?.fields !== second) second.fault({});
  if (failure?.fields === second) first.fault({});
  return shownIn.some((places) => places > 0);
}

function showAnswer() {
  const { a, b, real, date: day } = shown;
  byId("version").textContent = `Model ${a.model.name}, version ${a.model.version}`;
  byId("credit").textContent = real ? `Data: ${real.credit}` : "";
  if (real === null && counted && byId("real").checked && inData(day)) byId("credit").textContent = "There is no record for this day.";
  showHour();
  showTable(numbers);
  showCode([a, b].filter(Boolean).map((scenario) => scenario.request));
}

/** Everything that depends on the chosen hour. */
function showHour() {
  if (!shown) return;
  const at = hour.valueAsNumber;
  const { a, b, real, date: day } = shown;
  const { rentals, interval, warnings } = a.predictions[at];
  const end = hourName((at + 1) % 24);
  byId("value").textContent = count(rentals);
  byId("value-words").textContent = `rentals from ${hourName(at)} to ${end}`;
  const whole = a.predictions.reduce((sum, row) => sum + row.rentals, 0);
  byId("value-interval").textContent =
    (warnings.length
      ? `Interval ${count(interval.low)} to ${count(interval.high)}, calibrated inside the training data, where this hour does not lie. `
      : `${percent(interval.level)} of such hours have between ${count(interval.low)} and ${count(interval.high)} rentals. `) +
    `The whole day: about ${count(whole)}.${other(b, real, at)}`;
  const box = byId("warnings");
  box.hidden = warnings.length === 0;
  box.textContent = warnings.map((words) => sentence(plain(words))).join(" ");
  hour.setAttribute("aria-valuetext", `${hourName(at)}, ${count(rentals)} rentals`);
  byId("chart").setAttribute("aria-label", inWords(day));
  redraw();
  explain();
}

function other(b, real, at) {
  const i = real ? real.hour.indexOf(at) : -1;
  return (
    (b ? ` With the other weather: ${count(b.predictions[at].rentals)}.` : "") +
    (i >= 0 ? ` Counted that hour: ${count(real.rentals[i])}.` : "")
  );
}

function inWords(day) {
  const values = shown.a.predictions.map((row) => row.rentals);
  const peak = values.indexOf(Math.max(...values));
  const least = values.indexOf(Math.min(...values));
  return (
    `Forecast of the rentals of each hour of ${dayName(day)}: least at ${hourName(least)} with ` +
    `${count(values[least])}, most at ${hourName(peak)} with ${count(values[peak])}. ` +
    `Every number is in the table under "The numbers of the picture".`
  );
}

function draw(width, height) {
  if (!shown) return;
  drawDay(byId("chart"), byId("legend"), hour, { ...shown, width, height, at: hour.valueAsNumber });
}

function numbers() {
  const { a, b, real, date: day } = shown;
  const header = ["Hour", "Forecast", "Low", "High"];
  if (b) header.push("Other weather");
  if (real) header.push("Counted");
  const rows = a.predictions.map(({ rentals, interval }, at) => {
    const cells = [hourName(at), count(rentals), count(interval.low), count(interval.high)];
    if (b) cells.push(count(b.predictions[at].rentals));
    if (real) cells.push(real.hour.includes(at) ? count(real.rentals[real.hour.indexOf(at)]) : "–");
    return cells;
  });
  return table(`Rentals per hour on ${dayName(day)}`, header, rows);
}

// ---- what drives the hour -------------------------------------------------------------------

async function updateExplanation(signal) {
  const at = hour.valueAsNumber;
  const row = shown.a.rows[at];
  const request = { path: `${PATH}?explain=true&level=${shown.level}`, body: row };
  const { explanation, rentals } = await ask(request.path, { body: row, signal });
  document.querySelector(".why").hidden = !explanation;
  if (!explanation) return;
  byId("why-hour").textContent = hourName(at);
  byId("why-words").textContent =
    `The average answer to a sample of the training data is ${count(explanation.baseline)}. ` +
    `This request moves it to ${count(rentals)}:`;
  const parts = Object.entries(explanation.contributions)
    .map(([name, value]) => ({ ...describe(name, row, at), value }))
    .filter(({ detail, value }) => detail !== null || Math.abs(value) >= 0.5)
    .sort((one, two) => Math.abs(two.value) - Math.abs(one.value));
  byId("why-bars").replaceChildren(bars("What each input adds, in rentals per hour", parts, (v) => signed(v)));
  const shownCode = [shown.a, shown.b].filter(Boolean).map((scenario) => scenario.request);
  showCode([...shownCode, request]);
}

/** A field's name and value for display; `detail` is null for a field that was not given. */
function describe(name, row, at) {
  const value = row[name];
  switch (name) {
    case "timestamp":
      return { name: "Day and hour", detail: `${byId("facts").textContent.split(" · ")[0]}, ${hourName(at)}` };
    case "holiday":
      return { name: "Public holiday", detail: value === undefined ? null : value ? "yes" : "no" };
    case "feels_like":
      return { name: "Felt temperature", detail: value === undefined ? null : `${value} °C` };
    case "temperature":
      return { name: "Temperature", detail: `${value} °C` };
    case "humidity":
      return { name: "Humidity", detail: `${value} %` };
    case "wind_speed":
      return { name: "Wind", detail: `${value} km/h` };
    default:
      return { name: "Sky", detail: plain(String(value)) };
  }
}

// ---- user input --------------------------------------------------------------------------

hour.addEventListener("input", () => {
  showHour();
  remember();
});
for (const [id, step] of [["before", -1], ["after", 1]]) {
  byId(id).addEventListener("click", () => {
    if (!date.value) return;
    date.value = later(date.value, step);
    changed();
  });
}
for (const id of ["compare", "real", "measured"]) byId(id).addEventListener("change", changed);

/** Keep the choices in the address, so that they can be shared and survive a reload. */
function remember() {
  const one = first.values();
  const query = new URLSearchParams({ date: date.value, hour: hour.value, ...one });
  if (byId("compare").checked) {
    for (const [name, value] of Object.entries(second.values())) query.set(`b.${name}`, value);
  }
  for (const id of ["real", "measured"]) if (byId(id).checked) query.set(id, "1");
  for (const id of MORE) if (byId(id).value !== byId(id).dataset.usual) query.set(id, byId(id).value);
  history.replaceState(null, "", `?${query}`);
}

function recall() {
  const query = new URLSearchParams(location.search);
  const scenario = (root, prefix) => {
    for (const field of root.querySelectorAll(".field")) {
      const value = query.get(prefix + field.dataset.field);
      if (value === null) continue;
      const choice = [...field.querySelectorAll("input[type=radio]")].find((radio) => radio.value === value);
      if (choice) choice.checked = true;
      else if (field.querySelector("input[inputmode]")) setNumber(field, value);
    }
  };
  if (query.has("date")) date.value = query.get("date");
  if (query.has("hour")) hour.value = query.get("hour");
  scenario(byId("scenario-a"), "");
  scenario(byId("scenario-b"), "b.");
  for (const id of MORE.filter((name) => query.has(name))) {
    byId(id).value = query.get(id);
    byId("more").open = true;
  }
  byId("compare").checked = query.has("b.weather");
  for (const id of ["real", "measured"]) byId(id).checked = query.has(id);
}

for (const id of MORE) byId(id).dataset.usual = byId(id).value;
if (location.search) recall();
changed();
