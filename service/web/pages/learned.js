// The card of a model as a page: how good it is, how it learned, and where it must not be used.

import { ask } from "./lib/api.js";
import { bars } from "./lib/bars.js";
import { exact, responsive, ticks } from "./lib/chart.js";
import { codeIn } from "./lib/code.js";
import { DATASETS, isEmbedded } from "./lib/datasets.js";
import { byId, html, table, tableIn } from "./lib/dom.js";
import { drawLines } from "./lib/lines.js";
import { once } from "./lib/live.js";
import { count, digits, percent, plain, sentence } from "./lib/words.js";

const name = location.pathname.split("/").at(-1);
const PEERS = new URL("./data/peers.json", import.meta.url).pathname;
const METRICS = {
  mae: "Mean absolute error",
  rmse: "Root mean squared error",
  rmsle: "The same of logarithms",
  r2: "R², the share explained",
  log_loss: "Log loss",
  brier: "Brier score",
  auc: "AUC, the pairs in order",
  accuracy: "Accuracy",
  ece: "Calibration error",
  slope: "Calibration slope, best at 1",
  intercept: "Calibration intercept, best at 0",
};
const OF_A_MODEL = ["auc", "slope", "intercept"]; // they say nothing of a constant forecast
const LOSSES = { half_mse: "Half the mean squared error", cross_entropy: "Cross-entropy" };
const TITLES = { bikes: "How the bike forecast learned", admission: "How the admission model learned" };
const [ROWS, YES] = name === "admission" ? ["Applications", "admitted"] : ["Rows", "of yes"];

document.documentElement.dataset.accent = name;
byId("title").textContent = TITLES[name] ?? `How ${name} learned`;
document.title = byId("title").textContent;
for (const link of document.querySelectorAll(".tabs a")) {
  if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
}
const card = { path: `/models/${name}` };
const versions = { path: `/models/${name}/versions` };
codeIn(byId("code"))([card, versions]);
once(async (signal) => {
  const paths = [card.path, versions.path, PEERS, DATASETS];
  const [told, known, measured, digests] = await Promise.all(paths.map((path) => ask(path, { signal })));
  document.querySelector(".learned").classList.add("ready"); // all at once: nothing moves what is there
  showCard(told);
  showVersions(known);
  if (told.evaluation && isEmbedded(told, digests)) showPeers(told, measured[name] ?? {});
});

function showCard(told) {
  showScores(told);
  showLoss(told.training);
  showTrust(told);
  showMaking(told);
  byId("limits").replaceChildren(...told.limits_of_use.map((words) => html("li", {}, words)));
  byId("inputs").replaceChildren(inputs(told.fields));
}

// ---- how good -------------------------------------------------------------------------------

function showScores({ evaluation }) {
  if (!evaluation) {
    byId("protocol").textContent = "This version was not judged on rows that it had not seen.";
    return;
  }
  const { metrics, baseline, rows, description } = evaluation;
  byId("protocol").textContent = `Judged on ${count(rows)} rows that it had not learned from: ${description}.`;
  const lines = Object.entries(metrics).map(([metric, value]) => [
    METRICS[metric] ?? plain(metric),
    write(value),
    baseline && !OF_A_MODEL.includes(metric) ? write(baseline.metrics[metric]) : "–",
  ]);
  const made = table(`The simple forecast: ${baseline?.description ?? "none"}`, ["Measure", "This model", "Simple forecast"], lines);
  made.classList.add("scores");
  byId("scores").replaceChildren(made);
}

const write = (value) => (value === null || value === undefined ? "–" : digits(value));

/** The main metric of the peers that were measured on the same rows; nothing where there are none. */
function showPeers({ evaluation, training }, protocols) {
  const measured = protocols[evaluation.protocol] ?? {};
  const [metric] = Object.keys(evaluation.metrics);
  const others = Object.entries(measured).filter(([, found]) => Number.isFinite(found[metric]));
  byId("peers").hidden = others.length === 0;
  if (!others.length) return;
  const ours = `This model${partitions(evaluation, training.data)}`;
  const rows = [[ours, evaluation.metrics], ...others].map(([who, found], i) => ({ name: who, value: found[metric], soft: i > 0 }));
  rows.sort((one, two) => one.value - two.value);
  byId("peers-words").textContent = "Measured by the same protocol; bench/README.md in the repository says how. Lower is better.";
  byId("peers-bars").replaceChildren(bars(METRICS[metric], rows, write));
}

/** How many partitions were judged, as the names of the peers have it: each holds every row out once. */
function partitions({ protocol, rows }, data) {
  if (protocol !== "cv") return "";
  const n = rows / data.rows;
  return ` (${count(n)} ${n === 1 ? "partition" : "partitions"})`;
}

// ---- pictures -------------------------------------------------------------------------------

function picture(id, label, spec, numbers) {
  byId(id).setAttribute("aria-label", label);
  tableIn(byId(`${id}-numbers`))(numbers);
  responsive(byId(id), (width, height) => drawLines(byId(id), byId(`${id}-legend`), { ...spec, width, height }))();
}

function showLoss({ history, recipe }) {
  if (!history?.length) return;
  const points = (key) => history.filter((check) => check[key] !== null).map((check) => [check.epoch, check[key]]);
  const series = [{ name: "training rows", mark: "line a", points: points("training") }];
  const validation = points("validation");
  if (validation.length) series.push({ name: "validation rows", mark: "line b", points: validation });
  const [start, end] = [history[0], history.at(-1)];
  byId("loss-words").textContent =
    `${LOSSES[recipe.fit.loss] ?? plain(recipe.fit.loss)} of what the networks are fitted to. Optimiser ${recipe.fit.optimizer}, rate ${recipe.fit.rate}, ` +
    `${recipe.fit.batch_size ? `batches of ${recipe.fit.batch_size} rows` : "all rows at once"}.`;
  const losses = series.flatMap((one) => one.points.map(([, loss]) => loss));
  const low = Math.min(...losses) > 0.5 * Math.max(...losses) ? Math.min(...losses) : 0;
  const scale = ticks(low, Math.max(...losses));
  const last = Math.max(2, end.epoch);
  const spec = {
    x: { range: [start.epoch, last], ticks: ticks(0, last).filter((at) => Number.isInteger(at) && at >= start.epoch && at <= last), text: count, title: "epoch" },
    y: { range: [scale[0], scale.at(-1)], ticks: scale, text: exact(scale), zero: 0 },
    series,
  };
  const label = `The loss on the training rows falls from ${digits(start.training)} to ${digits(end.training)} in ${end.epoch} epochs.`;
  const rows = history.map(({ epoch, training, validation: held }) => [String(epoch), digits(training), write(held)]);
  picture("loss", label, spec, () => table("Mean loss", ["Epoch", "Training", "Validation"], rows));
}

function showTrust({ evaluation, answer, fields }) {
  const { reliability, coverage_by_level: levels, coverage } = evaluation ?? {};
  byId("trust-section").hidden = !reliability && !levels && !coverage;
  const grouping = fields.some(({ kind }) => kind === "timestamp") ? "days" : "rows";
  const words = coverage ? inWords(coverage, answer.unit, grouping) : "";
  if (reliability) showReliability(reliability);
  else if (levels) showCoverage(levels, words);
  else if (coverage) byId("trust-words").textContent = words;
  if (!reliability && !levels) for (const id of ["trust", "trust-numbers"]) byId(id).hidden = true;
}

const guide = (points) => ({ name: "as promised", mark: "line guide", points });
const shares = (from, to, title) => ({
  range: [from, to],
  ticks: ticks(from, to, 4).filter((at) => at >= from - 1e-9 && at <= to + 1e-9),
  text: percent,
  title,
});

function showReliability(groups) {
  const top = Math.min(1, 0.1 * Math.ceil(10 * Math.max(...groups.flatMap(({ said, happened }) => [said, happened]))) + 0.1);
  byId("trust-words").textContent =
    `${ROWS} in ten groups by their probability, each judged by a model that had not seen it: ` +
    `the share ${YES} should be the probability. The lines are the 90% intervals of the shares.`;
  const dots = {
    name: `groups of ${ROWS.toLowerCase()}`,
    mark: "dot",
    points: groups.map(({ said, happened }) => [said, happened]),
    bars: groups.map(({ said, happened, rows }) => [said, ...wilson(happened, rows)]),
  };
  const spec = {
    x: shares(0, top, "mean probability"),
    y: { ...shares(0, top, `share ${YES}`), zero: 0 },
    series: [guide([[0, 0], [top, top]]), dots],
  };
  const rows = groups.map(({ said, happened, rows: n }) => [percent(said, 1), percent(happened, 1), String(n)]);
  const worst = Math.max(...groups.map(({ said, happened }) => Math.abs(said - happened)));
  picture("trust", `Probability against share ${YES} in ten groups; the largest difference is ${percent(worst, 1)}.`, spec, () =>
    table("Reliability", ["Mean probability", `Share ${YES}`, ROWS], rows),
  );
}

/** The 90% interval of a share of n (Wilson 1927). */
function wilson(share, n) {
  const square = 1.6448536 ** 2 / n;
  const centre = (share + square / 2) / (1 + square);
  const half = (1.6448536 / (1 + square)) * Math.sqrt((share * (1 - share)) / n + square / (4 * n));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

function inWords({ level, coverage, standard_error: error, width }, unit, grouping) {
  return (
    `Of the intervals at ${percent(level)}, ${percent(coverage, 1)} held the outcome` +
    `${error ? `, give or take ${percent(error, 1)} (one standard error, by ${grouping})` : ""}; they are ${count(width)} ${unit} wide on average.`
  );
}

function showCoverage(levels, words) {
  byId("trust-words").textContent = words;
  const measured = { name: "measured", mark: "line a", points: levels.map(({ level, coverage: share }) => [level, share]) };
  const low = Math.min(0.5, ...levels.map(({ coverage: share }) => Math.floor(10 * share) / 10));
  const spec = {
    x: shares(0.5, 1, "level of the interval"),
    y: shares(low, 1, "outcomes inside"),
    series: [guide([[0.5, 0.5], [1, 1]]), measured],
  };
  const rows = levels.map(({ level, coverage: share }) => [percent(level, 1), percent(share, 1)]);
  picture("trust", `Coverage of the intervals at ${levels.length} levels. ${words}`, spec, () =>
    table("Coverage", ["Level", "Outcomes inside"], rows),
  );
}

// ---- the rest of the card -------------------------------------------------------------------

function showMaking({ version, created, network, training }) {
  const { recipe, data, seed, git_commit: commit, libraries, distillation: taught } = training;
  const layers = [network.inputs, ...network.hidden, network.outputs].join(" – ");
  const facts = {
    Version: version,
    Trained: created && new Date(created).toUTCString().replace("GMT", "UTC"),
    Recipe: recipe?.description ? `${recipe.name}: ${recipe.description}` : recipe?.name,
    Networks: `${network.members} of ${layers} units, ${[...new Set(network.activations)].join(" and ")}`,
    Taught: taught && `by ${taught.networks} networks, whose answers it gives to within ${taught.difference.toFixed(1)} of ${taught.answer.toFixed(0)} (root mean square, on made-up rows)`,
    Parameters: count(network.parameters),
    Data: data && `${data.file}, ${count(data.rows)} rows, SHA-256 ${data.sha256.slice(0, 12)}…`,
    Seed: seed?.toString(),
    Code: commit && `commit ${commit.slice(0, 12)}`,
    With: libraries && Object.entries(libraries).map((pair) => pair.join(" ")).join(", "),
  };
  const known = Object.entries(facts).filter(([, value]) => value);
  byId("made").replaceChildren(...known.flatMap(([what, value]) => [html("dt", {}, what), html("dd", {}, value)]));
}

function inputs(fields) {
  const range = (pair, unit) => (pair ? `${pair.map((end) => plain(String(end)).replace("T", " ")).join(" to ")}${unit}` : "");
  const rows = fields.map(({ name: field, description, unit, low, high, choices, training_range: seen, kind, required }) => {
    const of = unit && kind !== "timestamp" ? ` ${unit}` : "";
    const numbers = seen?.map((end) => (typeof end === "number" ? Number(end.toFixed(2)) : end));
    return [
      field,
      description + (required ? "" : " (optional)"),
      choices ? choices.join(", ") : low === undefined ? kind : range([low, high], of),
      range(numbers, of),
    ];
  });
  return table("A request's fields", ["Field", "Meaning", "Taken", "Seen in training"], rows);
}

function showVersions({ current, versions: known }) {
  byId("versions").replaceChildren(
    ...known.map((version) =>
      html("li", {}, html("time", { datetime: moment(version) }, version), version === current ? html("span", { class: "tag" }, "answers now") : null),
    ),
  );
}

/** 20261124T013000Z-1a2b3c4d as 2026-11-24T01:30:00Z. */
const moment = (version) => version.replace(/^(....)(..)(..)T(..)(..)(..)Z.*/, "$1-$2-$3T$4:$5:$6Z");
