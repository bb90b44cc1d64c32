// The page of the admission model: one application, and what would be if one thing were different.

import { drawAlong, drawScale } from "./lib/along.js";
import { ask } from "./lib/api.js";
import { bars } from "./lib/bars.js";
import { responsive } from "./lib/chart.js";
import { codeIn } from "./lib/code.js";
import { byId, table, tableIn } from "./lib/dom.js";
import { fieldsOf, setNumber } from "./lib/fields.js";
import { live } from "./lib/live.js";
import { percent, sentence, signed } from "./lib/words.js";

const PATH = "/predict/admission";
const NAMES = { gre: "GRE score", gpa: "Grade point average", rank: "Rank of the school" };
const steps = (low, high, n) => Array.from({ length: n + 1 }, (_, i) => Number((low + ((high - low) * i) / n).toFixed(2)));
const RANKS = [1, 2, 3, 4];
const USUAL_LEVEL = byId("level").value;

const application = fieldsOf(byId("application"), () => changed());
const more = fieldsOf(byId("more"), () => changed());
const showTable = tableIn(byId("numbers"));
const showCode = codeIn(byId("code"));
const redraws = [
  responsive(byId("scale"), (width, height) => shown && drawScale(byId("scale"), { ...shown, width, height })),
  ...Object.keys(NAMES).map((name) =>
    responsive(byId(`along-${name}`), (width, height) => {
      if (shown) drawAlong(byId(`along-${name}`), { ...shown.along[name], name, at: shown.row[name], choose, width, height });
    }),
  ),
];

let shown = null; // what is in the pictures: {row, answer, along: {field: {values, predictions}}}
const changed = live(update, showFaults);

function rowOf() {
  const { gre, gpa, rank } = application.values();
  return { gre, gpa, rank: Number(rank) };
}

/** For each input the values that it could have, the others staying as they are. */
function alternatives(row) {
  const values = { gre: steps(200, 800, 30), gpa: steps(Math.min(2, row.gpa ?? 2), 4, 40), rank: RANKS };
  const rows = Object.entries(values).flatMap(([name, list]) => list.map((value) => ({ ...row, [name]: value })));
  return { values, rows };
}

async function update(signal) {
  const row = rowOf();
  const query = `level=${Number(more.values().level)}`;
  const { values, rows } = alternatives(row);
  const one = { path: `${PATH}?explain=true&${query}`, body: row };
  const inputs = Object.fromEntries(Object.keys(row).map((name) => [name, rows.map((other) => other[name])]));
  const many = { path: `${PATH}/batch?${query}`, body: { inputs } };
  const [answer, batch] = await Promise.all([one, many].map(({ path, body }) => ask(path, { body, signal })));
  shown = { row, answer, along: along(values, batch.predictions) };
  showCode([one, many]);
  show();
  remember(row, more.values());
}

/** The answers to the alternatives, by the input that they differ in. */
function along(values, predictions) {
  const found = {};
  let start = 0;
  for (const [name, list] of Object.entries(values)) {
    found[name] = { values: list, predictions: predictions.slice(start, start + list.length) };
    start += list.length;
  }
  return found;
}

function showFaults(failure) {
  const faults = failure?.faults ?? {};
  return application.fault(faults) + more.fault(faults) > 0;
}

function show() {
  const { row, answer } = shown;
  const { probability, interval, threshold, admitted, warnings, model } = answer;
  byId("value").textContent = percent(probability);
  byId("value-interval").textContent =
    (warnings.length
      ? `Between ${percent(interval.low)} and ${percent(interval.high)}, calibrated inside the training data, where this application does not lie; `
      : `Between ${percent(interval.low)} and ${percent(interval.high)} with ${percent(interval.level)} confidence; `) +
    `${admitted ? "it reaches" : "below"} the threshold of ${percent(threshold)}.`;
  byId("warnings").hidden = warnings.length === 0;
  byId("warnings").textContent = warnings.map(sentence).join(" ");
  byId("version").textContent = `Model ${model.name}, version ${model.version}`;
  byId("scale").setAttribute(
    "aria-label",
    `Probability ${percent(probability)}, interval from ${percent(interval.low)} to ${percent(interval.high)}, threshold ${percent(threshold)}.`,
  );
  for (const name of Object.keys(NAMES)) byId(`along-${name}`).setAttribute("aria-label", inWords(name));
  showReasons(answer.explanation, row, probability);
  showTable(numbers);
  for (const redraw of redraws) redraw();
}

function inWords(name) {
  const { values, predictions } = shown.along[name];
  const ends = [0, values.length - 1].map((i) => `${percent(predictions[i].probability)} at ${values[i]}`);
  return `Probability along ${NAMES[name]}: ${ends.join(", ")}. Every number is in the table under "The numbers of the picture".`;
}

function showReasons(explanation, row, probability) {
  byId("why-title").hidden = !explanation;
  if (!explanation) return;
  byId("why-words").textContent =
    `The average answer to a sample of the training data is ${percent(explanation.baseline)}. This request moves it to ${percent(probability)}:`;
  const parts = Object.entries(explanation.contributions)
    .map(([name, value]) => ({ name: NAMES[name] ?? name, detail: String(row[name]), value }))
    .sort((one, two) => Math.abs(two.value) - Math.abs(one.value));
  const write = (value) => signed(100 * value, 1);
  byId("why-bars").replaceChildren(bars("What each input adds, in percentage points", parts, write));
}

function numbers() {
  const rows = Object.entries(shown.along).flatMap(([name, { values, predictions }]) =>
    predictions.map(({ probability, interval }, i) => [
      `${NAMES[name]} ${values[i]}`,
      percent(probability, 1),
      percent(interval.low, 1),
      percent(interval.high, 1),
    ]),
  );
  return table("The probability if one thing were different", ["If", "Probability", "Low", "High"], rows);
}

/** A click in a picture sets the field that the picture is about. */
function choose(name, value) {
  const field = byId("application").querySelector(`[data-field=${name}]`);
  if (name === "rank") field.querySelector(`[value="${value}"]`).checked = true;
  else setNumber(field, value);
  changed();
}

/** Keep what is chosen in the address, so that it can be shared and survives a reload. */
function remember(row, { level }) {
  history.replaceState(null, "", `?${new URLSearchParams({ ...row, ...(level === USUAL_LEVEL ? {} : { level }) })}`);
}

for (const [name, value] of new URLSearchParams(location.search)) {
  if (name === "rank" && RANKS.includes(Number(value))) choose(name, value);
  else if (name === "gre" || name === "gpa") choose(name, value);
  else if (name === "level") {
    byId("level").value = value;
    byId("more").open = true;
  }
}
changed();
