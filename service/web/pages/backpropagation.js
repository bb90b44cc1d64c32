// The exercise of the lecture as something to turn: every number, forward and back, step after step.

import { ask } from "./lib/api.js";
import { gradients, work } from "./lib/backprop.js";
import { exact, responsive, ticks } from "./lib/chart.js";
import { byId, html, table, tableIn } from "./lib/dom.js";
import { fieldsOf, setNumber } from "./lib/fields.js";
import { drawLines } from "./lib/lines.js";
import { once } from "./lib/live.js";
import { drawNet } from "./lib/net.js";
import { showCommand } from "./lib/code.js";
import { count, digits } from "./lib/words.js";

const MOST = 2000; // steps of descent
const write = (number) => digits(number, 4);

// Each stage of a step: the symbols that it finds, in words, as a formula, with numbers, and the value.
// `key` is the lecture's symbol, under which the data have its rounded value.
const STAGES = [
  { finds: ["h"], key: "h", words: "What the hidden unit gets", formula: "h = w₁ x₁ + w₂ x₂", put: (s) => `${p(s.w1)} · ${p(s.x1)} + ${p(s.w2)} · ${p(s.x2)}` },
  { finds: ["a"], key: "a", words: "What it gives: the sigmoid of that", formula: "a = f(h) = 1 / (1 + e⁻ʰ)", put: (_, n) => `f(${plainly(n.h)})` },
  { finds: ["answer"], key: "ŷ", words: "The network's answer", formula: "ŷ = f(v a)", put: (s, n) => `f(${p(s.v)} · ${p(n.a)})` },
  { finds: ["loss"], key: "L", words: "The loss: half the squared error", formula: "L = ½ (y − ŷ)²", put: (s, n) => `½ (${p(s.y)} − ${p(n.answer)})²` },
  { finds: ["deltaO"], key: "δo", words: "The error at the output, through its slope", formula: "δo = (y − ŷ) ŷ (1 − ŷ)", put: (s, n) => `(${p(s.y)} − ${p(n.answer)}) · ${p(n.answer)} · (1 − ${p(n.answer)})` },
  { finds: ["deltaH"], key: "δh", words: "Handed back through the weight, and the hidden unit's slope", formula: "δh = δo v a (1 − a)", put: (s, n) => `${p(n.deltaO)} · ${p(s.v)} · ${p(n.a)} · (1 − ${p(n.a)})` },
  { finds: ["dv"], key: "ΔW", words: "How the output's weight moves: against its gradient", formula: "Δv = η δo a = −η ∂L/∂v", put: (s, n) => `${p(s.rate)} · ${p(n.deltaO)} · ${p(n.a)}` },
  { finds: ["dw1"], key: "ΔWi1", words: "How the first hidden weight moves", formula: "Δw₁ = η δh x₁", put: (s, n) => `${p(s.rate)} · ${p(n.deltaH)} · ${p(s.x1)}` },
  { finds: ["dw2"], key: "ΔWi2", words: "How the second hidden weight moves", formula: "Δw₂ = η δh x₂", put: (s, n) => `${p(s.rate)} · ${p(n.deltaH)} · ${p(s.x2)}` },
];
const LAST = STAGES.length; // the stage at which every number of a step is known

/** A number without the zeros at its end. */
const plainly = (number) => write(number).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");

/** A number as a part of a formula. */
function p(number) {
  return number < 0 ? `(${plainly(number)})` : plainly(number);
}

const form = fieldsOf(byId("knobs"), restart);
const showTable = tableIn(byId("numbers"));
const redraws = [
  responsive(byId("net"), (width, height) => drawNet(byId("net"), { ...picture(), width, height })),
  responsive(byId("descent"), drawDescent),
];
showCommand(byId("code"), "train trace");

let lecture = null; // the exported exercise: where it starts, and its rounded values
let path = []; // the weights before each step, the first as the form has them
let stage = 0; // how many stages of the last step of the path are done
let running = 0;

const knobs = () => Object.fromEntries(Object.entries(form.values()).map(([name, value]) => [name, Number(value) || 0]));
const startOf = (weights) => ({ ...knobs(), ...weights });
const current = () => startOf(path.at(-1));

function restart() {
  const { w1, w2, v } = knobs();
  path = [{ w1, w2, v }];
  show();
}

function forward() {
  if (stage < LAST) stage += 1;
  else if (path.length < MOST) {
    path.push(work(current()).next);
    stage = 1;
  }
  show();
}

function back() {
  if (stage > (path.length > 1 ? 1 : 0)) stage -= 1;
  else if (path.length > 1) {
    path.pop();
    stage = LAST;
  }
  show();
}

/** Finish the step; from its end, do the whole next one. */
function whole() {
  if (stage === LAST) forward();
  stage = LAST;
  show();
}

function run() {
  clearInterval(running);
  const starts = byId("run").getAttribute("aria-pressed") === "false";
  byId("run").setAttribute("aria-pressed", String(starts));
  byId("run").textContent = starts ? "Pause" : "Run";
  if (starts) {
    running = setInterval(() => {
      whole();
      if (path.length >= MOST) run();
    }, 50);
  }
}

// ---- what is shown --------------------------------------------------------------------------

function picture() {
  const start = current();
  const numbers = work(start);
  return {
    start,
    numbers,
    gradients: gradients(numbers, start),
    reached: new Set(STAGES.slice(0, stage).flatMap(({ finds }) => finds)),
    active: stage ? STAGES[stage - 1].finds : [],
  };
}

function show() {
  const { start, numbers } = picture();
  byId("back").disabled = stage === 0 && path.length === 1;
  byId("now").replaceChildren(...now(start, numbers));
  byId("net").setAttribute("aria-label", netInWords(start, numbers));
  byId("formulas").replaceChildren(formulas(start, numbers));
  const losses = path.map((weights) => work(startOf(weights)).loss);
  const done = path.length - 1;
  const after = work(startOf(numbers.next)).loss;
  byId("descent-words").textContent =
    `${done ? `After ${count(done)} ${done === 1 ? "step" : "steps"} the loss is ${write(losses.at(-1))}, from ${write(losses[0])} at the start. ` : ""}` +
    `This step takes it from ${write(losses.at(-1))} to ${write(after)}.`;
  byId("descent").setAttribute("aria-label", byId("descent-words").textContent);
  showTable(() => table("Loss before each step", ["Step", "Loss", "w₁", "w₂", "v"], path.map((w, i) => [String(i + 1), write(losses[i]), write(w.w1), write(w.w2), write(w.v)])));
  for (const redraw of redraws) redraw();
}

function now(start, numbers) {
  const step = `Step ${count(path.length)}`;
  if (!stage) return [html("strong", {}, step), ". Go forward to find the first number."];
  const { words, formula, put, finds } = STAGES[stage - 1];
  return [html("strong", {}, `${step}, ${stage} of ${LAST}. `), `${words}: ${formula} = ${put(start, numbers)} = `, html("strong", {}, write(numbers[finds[0]]))];
}

function netInWords(start, numbers) {
  const known = STAGES.slice(0, stage).map(({ finds, formula }) => `${formula.split(" ")[0]} is ${write(numbers[finds[0]])}`);
  return `A network with inputs ${start.x1} and ${start.x2}, weights ${write(start.w1)}, ${write(start.w2)} and ${write(start.v)}. ${known.join(", ")}.`;
}

function formulas(start, numbers) {
  const showsLecture = lecture && path.length === 1 && Object.entries(lecture.start).every(([name, value]) => start[name] === value);
  const header = ["Number", "Formula", "With numbers", "Value"];
  if (showsLecture) header.push("In the lecture");
  const rows = STAGES.map(({ finds, formula, put, words, key }, i) => {
    const known = i < stage;
    const rounded = lecture?.steps.find((line) => line.symbol === key);
    const cells = [words, formula, known ? `= ${put(start, numbers)}` : "", known ? write(numbers[finds[0]]) : ""];
    if (showsLecture) cells.push(known && rounded ? String(rounded.rounded).replace("-", "−") : "");
    return cells;
  });
  const made = table(showsLecture ? "The lecture rounds as it goes; the values here are in full precision." : "In full precision, shown to four digits.", header, rows);
  [...made.tBodies[0].rows].forEach((row, i) => {
    row.className = i === stage - 1 ? "active" : i < stage ? "" : "later";
  });
  return made;
}

function drawDescent(width, height) {
  const losses = path.map((weights, i) => [i, work(startOf(weights)).loss]);
  const n = Math.max(10, path.length);
  const scale = ticks(0, Math.max(0.02, ...losses.map(([, loss]) => loss)), 4);
  const marks = [{ name: "loss before each step", mark: "line a", points: losses }];
  if (path.length < 60) marks.push({ name: "a step", mark: "dot", points: losses });
  const xTicks = ticks(0, n, 5).filter((at) => Number.isInteger(at) && at <= n);
  drawLines(byId("descent"), byId("descent-legend"), {
    width,
    height,
    x: { range: [0, n], ticks: xTicks, text: count, title: "steps" },
    y: { range: [0, scale.at(-1)], ticks: scale, text: exact(scale), zero: 0 },
    series: marks,
  });
}

// ---- what people do -------------------------------------------------------------------------

byId("forward").addEventListener("click", forward);
byId("back").addEventListener("click", back);
byId("whole").addEventListener("click", whole);
byId("run").addEventListener("click", run);
byId("reset").addEventListener("click", () => {
  if (byId("run").getAttribute("aria-pressed") === "true") run();
  stage = 0;
  restart();
});
byId("lecture").addEventListener("click", () => {
  for (const [name, value] of Object.entries(lecture?.start ?? {})) {
    setNumber(byId("knobs").querySelector(`[data-field=${name}]`), value);
  }
  restart();
});

restart();
once(async (signal) => {
  lecture = await ask(new URL("./data/exercise.json", import.meta.url).pathname, { signal });
  show();
});
