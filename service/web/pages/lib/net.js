// The picture of the small network: values in its units, weights and gradients on its edges.

import { svg } from "./dom.js";
import { digits } from "./words.js";

const write = (number) => digits(number, 3);

/**
 * numbers: what `work` returns; gradients; start: inputs, target, weights; reached: which symbols are
 * known by now; active: those of the current step.
 */
export function drawNet(host, { width, height, numbers, gradients, start, reached, active }) {
  const narrow = width < 560;
  const r = narrow ? 23 : 29;
  const at = (share) => r + 4 + share * (width - 2 * r - 8);
  const middle = height / 2;
  const gap = Math.min(height * 0.3, 105);
  const units = {
    x1: { x: at(0), y: middle - gap, name: "x₁", value: start.x1 },
    x2: { x: at(0), y: middle + gap, name: "x₂", value: start.x2 },
    a: { x: at(0.4), y: middle, name: "a", value: numbers.a, above: ["h", numbers.h], below: ["δh", numbers.deltaH] },
    answer: { x: at(0.75), y: middle, name: "ŷ", value: numbers.answer, below: ["δo", numbers.deltaO] },
    loss: { x: at(1), y: middle, name: "L", value: numbers.loss, above: ["y", start.y] },
  };
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const edges = [
    ["x1", "a", "w1", "w₁"],
    ["x2", "a", "w2", "w₂"],
    ["a", "answer", "v", "v"],
    ["answer", "loss", null, ""],
  ];
  for (const [from, to, weight, name] of edges) {
    root.append(edge(units[from], units[to], { r, weight, name, start, gradients, reached, active }));
  }
  for (const [key, unit] of Object.entries(units)) root.append(drawUnit(key, unit, { r, reached, active }));
  host.replaceChildren(root);
}

function edge(from, to, { r, weight, name, start, gradients, reached, active }) {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const [ux, uy] = [(to.x - from.x) / length, (to.y - from.y) / length];
  const strength = weight ? Math.min(7, 1 + 2 * Math.abs(start[weight])) : 1.5;
  const on = weight && active.includes(`d${weight}`);
  const line = svg("line", {
    x1: from.x + ux * r,
    y1: from.y + uy * r,
    x2: to.x - ux * r,
    y2: to.y - uy * r,
    class: `edge${weight && start[weight] < 0 ? " negative" : ""}${on ? " active" : ""}`,
    "stroke-width": strength.toFixed(1),
  });
  const group = svg("g", {}, line);
  if (!weight) return group;
  const level = Math.abs(uy) < 0.1;
  const share = level ? 0.5 : 0.42;
  const [x, y] = [from.x + share * (to.x - from.x), from.y + share * (to.y - from.y)];
  group.append(text(x, level ? y - 12 : y - 4, `${name} ${write(start[weight])}`, "weight halo"));
  if (reached.has(`d${weight}`)) {
    group.append(text(x, level ? y + 20 : y + 12, `∂L/∂${name} ${write(gradients[weight])}`, "gradient halo"));
  }
  return group;
}

function drawUnit(key, unit, { r, reached, active }) {
  const known = key.startsWith("x") || reached.has(key);
  const group = svg(
    "g",
    { class: `unit${active.includes(key) ? " active" : ""}${known ? "" : " unknown"}` },
    svg("circle", { cx: unit.x, cy: unit.y, r }),
    text(unit.x, unit.y - (r > 25 ? 7 : 5), unit.name, "name"),
    text(unit.x, unit.y + (r > 25 ? 11 : 10), known ? write(unit.value) : "?", "value"),
  );
  const beside = { h: "h", δh: "deltaH", δo: "deltaO", y: "y" };
  for (const [place, offset, pair] of [["above", -r - 9, unit.above], ["below", r + 18, unit.below]]) {
    if (!pair) continue;
    const symbol = beside[pair[0]];
    if (symbol !== "y" && !reached.has(symbol)) continue;
    const mark = `${place === "below" ? "gradient" : "weight"}${active.includes(symbol) ? " active" : ""}`;
    group.append(text(unit.x, unit.y + offset, `${pair[0]} ${write(pair[1])}`, mark));
  }
  return group;
}

const text = (x, y, words, name) => svg("text", { x, y, class: name }, words);
