// The batch page: a CSV in; out come its faulty rows with reasons, and the answers as a picture and a file.

import { ask, Failure } from "./lib/api.js";
import { band, frame, responsive, straight, ticks } from "./lib/chart.js";
import { codeIn } from "./lib/code.js";
import { parse, write } from "./lib/csv.js";
import { byId, html, svg, table, tableIn } from "./lib/dom.js";
import { swatch } from "./lib/lines.js";
import { live } from "./lib/live.js";
import { count, percent, sentence } from "./lib/words.js";

const PIECE = 5000; // rows in one request
const SHOWN = 200; // rows of a table
const MODELS = {
  bikes: {
    target: "rentals",
    decision: [],
    unit: "rentals per hour",
    text: count,
    top: (highest) => ticks(0, Math.max(50, highest)),
  },
  admission: {
    target: "probability",
    decision: ["admitted"],
    unit: "probability of admission",
    text: percent,
    top: () => [0, 0.25, 0.5, 0.75, 1],
  },
};

const showTable = tableIn(byId("numbers"));
const showCode = codeIn(byId("code"));
const redraw = responsive(byId("chart"), (width, height) => shown && draw(width, height));
const send = live(update, showFault);

let given = null; // the file: {name, read}, and its text once it is read
let shown = null; // what was answered: {name, model, header, rows, predictions, version}

const chosen = () => document.querySelector("input[name=model]:checked").value;

function describe() {
  document.documentElement.dataset.accent = chosen();
  for (const words of byId("columns").children) words.hidden = words.dataset.model !== chosen();
}

// ---- the file -------------------------------------------------------------------------------

function take(name, read) {
  given = { name, read };
  send();
}

function takeFile(file) {
  if (!file) return;
  const failed = () => {
    throw new Failure("This cannot be read; a folder is no CSV, and a file that was moved or changed must be chosen again.");
  };
  take(file.name, () => file.text().catch(failed));
}

async function update(signal) {
  if (!given) return;
  const model = chosen();
  given.text ??= await given.read(signal);
  if (/[\0\ufffd]/.test(given.text)) {
    throw new Failure("This is not UTF-8 text; save a spreadsheet as CSV first.");
  }
  const [header, ...rows] = parse(given.text);
  if (!rows.length) throw new Failure("The file has no rows below its first line.");
  const path = `/predict/${model}/batch`;
  const predictions = [];
  let version = "";
  for (let start = 0; start < rows.length; start += PIECE) {
    if (rows.length > PIECE) byId("summary").textContent = `${count(start)} of ${count(rows.length)} rows are answered …`;
    const body = rows.length > PIECE ? write([header, ...rows.slice(start, start + PIECE)]) : given.text;
    const answer = await ask(path, { body, type: "text/csv", signal });
    predictions.push(...answer.predictions);
    version = answer.model.version;
  }
  shown = { name: given.name, model, header, rows, predictions, version };
  showCode([{ path, file: given.name, piece: rows.length > PIECE && PIECE }]);
  show();
}

/** Show an error of the file next to it; errors that a retry can fix are shown at the bottom. */
function showFault(failure) {
  const ours = failure && !failure.retry && !failure.needsKey;
  byId("file-fault").textContent = ours ? `${given.name}: ${sentence(failure.message)}` : "";
  if (ours) byId("answers").hidden = true;
  return Boolean(ours);
}

// ---- the answers ----------------------------------------------------------------------------

function show() {
  const { rows, predictions, model, version } = shown;
  const wrong = predictions.flatMap(({ error }, row) => (error ? [{ row, error }] : []));
  const warned = predictions.filter(({ warnings }) => warnings?.length).length;
  byId("answers").hidden = false;
  byId("picture").hidden = wrong.length === rows.length;
  byId("summary").textContent =
    `${count(rows.length)} ${rows.length === 1 ? "row" : "rows"}: ${count(rows.length - wrong.length)} answered, ` +
    `${wrong.length ? count(wrong.length) : "none"} wrong` +
    `${warned ? `, ${count(warned)} outside what the model was trained on, where the intervals were not calibrated` : ""}.`;
  byId("wrong").replaceChildren(...(wrong.length ? [wrongRows(wrong)] : []));
  byId("version").textContent = `Model ${model}, version ${version}`;
  byId("chart").setAttribute("aria-label", inWords());
  showTable(numbers);
  redraw();
}

function wrongRows(wrong) {
  const lines = wrong.slice(0, SHOWN).map(({ row, error }) => [
    count(row + 1),
    `${error.errors.map(({ detail }) => detail).join("; ")}.`,
  ]);
  const more = wrong.length > SHOWN ? `; the first ${SHOWN} are shown, the download has them all` : "";
  return table(`Rows with errors; row 1 is the first below the header${more}`, ["Row", "What is wrong"], lines);
}

const valueOf = (prediction) => prediction[MODELS[shown.model].target];
const lowOf = ({ interval }) => interval.low;
const highOf = ({ interval }) => interval.high;

function inWords() {
  const { text, unit } = MODELS[shown.model];
  const values = shown.predictions.map(valueOf).filter((value) => value !== undefined);
  if (!values.length) return "No row could be answered.";
  const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  return `${count(values.length)} answers from ${text(least)} to ${text(most)}, ${unit}. The numbers are in the table below.`;
}

/** The name of a row: its time, or its number. */
function nameOf(row) {
  const at = shown.header.findIndex((name) => name.trim() === "timestamp");
  return (at >= 0 && shown.rows[row][at]?.replace("T", " ").slice(0, 16)) || count(row + 1);
}

/** At most n marks of the axis, evenly over the rows. */
function marksOfRows(n, text = nameOf) {
  const last = shown.rows.length - 1;
  const rows = Array.from({ length: n }, (_, i) => Math.round((last * i) / (n - 1)));
  return { ticks: [...new Set(rows)], text };
}

/** At most n marks where a day begins; hours, where fewer than two days do: a date stands at its midnight alone. */
function marksOfTime(n) {
  let day = "";
  const starts = shown.rows.flatMap((_, row) => {
    const [, of, hour] = nameOf(row).match(/^(\d{4}-\d\d-\d\d) (\d\d)/) ?? [];
    if (!of || of === day) return [];
    const begins = day !== "" || hour === "00";
    day = of;
    return begins ? [row] : [];
  });
  if (starts.length < 2) return marksOfRows(n, (row) => nameOf(row).slice(5));
  const step = Math.ceil(starts.length / n);
  return { ticks: starts.filter((_, i) => i % step === 0), text: (row) => nameOf(row).slice(0, 10) };
}

function draw(width, height) {
  const { model, predictions } = shown;
  const { text, unit, top } = MODELS[model];
  const answered = predictions.flatMap((prediction, row) => (prediction.error ? [] : [{ row, ...prediction }]));
  const scale = top(answered.reduce((most, { interval }) => Math.max(most, interval.high), 0));
  const last = Math.max(1, predictions.length - 1);
  const timed = shown.header.some((name) => name.trim() === "timestamp");
  const f = frame(width, height, {
    margin: { left: 52, right: 40 },
    x: { range: [0, last], ...(timed ? marksOfTime : marksOfRows)(width < 600 ? 3 : 5) },
    y: { range: [0, scale.at(-1)], ticks: scale, text, zero: 0 },
  });
  const at = (pick) => ({ row, ...rest }) => [f.x(row), f.y(pick(rest))];
  const lines = timed ? runs(answered) : answered.map((row) => [row]);
  for (const run of lines.filter(({ length }) => length > 1)) {
    const [low, high, middle] = [lowOf, highOf, valueOf].map((pick) => run.map(at(pick)));
    f.marks.append(svg("path", { d: band(low, high, straight), class: "band" }), svg("path", { d: straight(middle), class: "line thin" }));
  }
  const alone = lines.filter(({ length }) => length === 1).flat();
  const [lows, highs, middles] = [lowOf, highOf, valueOf].map((pick) => alone.map(at(pick)));
  // one path for all of them: a browser takes seconds to place thousands of elements
  f.marks.append(
    svg("path", { d: lows.map((low, i) => straight([low, highs[i]])).join(""), class: "whisker" }),
    svg("path", { d: middles.map((point) => straight([point, point])).join(""), class: "points", "stroke-width": alone.length > 150 ? 4 : 7 }),
  );
  byId("chart").replaceChildren(f.root);
  byId("legend").replaceChildren(
    html("li", {}, swatch(alone.length < answered.length ? "line a" : "dot"), `Answer, ${unit}`),
    html("li", {}, swatch("band a"), "90% interval"),
  );
}

/** Rows that follow each other without a wrong one between them. */
function runs(answered) {
  const found = [];
  for (const prediction of answered) {
    if (found.length && found.at(-1).at(-1).row === prediction.row - 1) found.at(-1).push(prediction);
    else found.push([prediction]);
  }
  return found;
}

function numbers() {
  const { text, target } = MODELS[shown.model];
  const rows = shown.predictions.slice(0, SHOWN).map((prediction, row) => {
    if (prediction.error) return [nameOf(row), "–", "–", "–"];
    return [nameOf(row), text(valueOf(prediction)), text(prediction.interval.low), text(prediction.interval.high)];
  });
  const more = shown.predictions.length > SHOWN ? `, the first ${SHOWN} of ${count(shown.predictions.length)}` : "";
  return table(`The answers${more}`, ["Row", target, "Low", "High"], rows);
}

/** The rows as they came, with what was answered to each. */
function result() {
  const { header, rows, predictions, model } = shown;
  const { target, decision } = MODELS[model];
  const names = [target, ...decision, "low", "high", "warnings", "error"];
  const answers = predictions.map((prediction) => {
    if (prediction.error) return [...names.slice(1).map(() => ""), prediction.error.detail];
    const { interval, warnings } = prediction;
    return [valueOf(prediction), ...decision.map((name) => prediction[name]), interval.low, interval.high, warnings.join("; "), ""];
  });
  const cells = (row) => header.map((_, i) => row[i] ?? ""); // of a row that has too few or too many, too
  return write([[...header, ...names], ...rows.map((row, i) => [...cells(row), ...answers[i]])]);
}

function download() {
  const url = URL.createObjectURL(new Blob([result()], { type: "text/csv" }));
  html("a", { href: url, download: shown.name.replace(/\.csv$/i, "") + "-answers.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// ---- an example -----------------------------------------------------------------------------

async function exampleOf(model, signal) {
  if (model === "admission") {
    const rows = Array.from({ length: 40 }, (_, i) => [400 + 10 * i, (2.4 + 0.04 * i).toFixed(2), 1 + (i % 4)]);
    rows[11][0] = 900;
    rows[23][1] = "high";
    return write([["gre", "gpa", "rank"], ...rows]);
  }
  const { days, weathers } = await ask(new URL("./data/rentals/2012-06.json", import.meta.url).pathname, { signal });
  const names = ["temperature", "humidity", "wind_speed"];
  const rows = Object.entries(days)
    .slice(0, 7)
    .flatMap(([day, of]) =>
      of.hour.map((hour, i) => [
        `${day}T${String(hour).padStart(2, "0")}:00`,
        ...names.map((name) => of[name][i]),
        weathers[of.weather[i]],
      ]),
    );
  rows[60][1] = 99;
  rows[100][4] = "sunny";
  return write([["timestamp", ...names, "weather"], ...rows]);
}

byId("example").addEventListener("click", () => {
  const model = chosen();
  take(`${model}-example.csv`, (signal) => exampleOf(model, signal));
});
byId("download").addEventListener("click", download);
byId("file").addEventListener("click", () => (byId("file").value = "")); // else the same file, mended, is no change
byId("file").addEventListener("change", () => takeFile(byId("file").files[0]));
for (const radio of document.querySelectorAll("input[name=model]")) {
  radio.addEventListener("change", () => {
    describe();
    byId("answers").hidden = true;
    byId("file-fault").textContent = "";
    given = shown = null;
    byId("file").value = "";
  });
}
const drop = byId("drop");
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") takeFile(event.dataTransfer.files[0]);
  });
}
describe();
addEventListener("pageshow", describe); // a browser that goes back restores the chosen model after this script
