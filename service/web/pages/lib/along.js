// Pictures of a probability: on its scale, and along one input.

import { band, curve, frame } from "./chart.js";
import { svg } from "./dom.js";
import { percent } from "./words.js";

const TENTHS = [0, 0.25, 0.5, 0.75, 1];

/** The probability as a point with its interval on the way from 0 to 1, the threshold across it. */
export function drawScale(host, { width, height, answer }) {
  const { probability, interval, threshold } = answer;
  const f = frame(width, height, {
    margin: { left: 18, right: 22, top: 22, bottom: 26 },
    x: { range: [0, 1], ticks: TENTHS, text: percent },
    y: { range: [0, 1], ticks: [] },
  });
  const middle = (f.top + f.bottom) / 2;
  const half = 9;
  f.marks.append(
    svg("rect", { x: f.x(0), width: f.x(1) - f.x(0), y: middle - half, height: 2 * half, rx: half, class: "track" }),
    svg("rect", {
      x: f.x(interval.low),
      width: Math.max(1, f.x(interval.high) - f.x(interval.low)),
      y: middle - half,
      height: 2 * half,
      rx: half,
      class: "band strong",
    }),
    svg("line", { x1: f.x(threshold), x2: f.x(threshold), y1: f.top - 6, y2: f.bottom, class: "cursor" }),
    svg("text", { x: f.x(threshold), y: f.top - 10, class: "x" }, "threshold"),
    svg("circle", { cx: f.x(probability), cy: middle, r: 9, class: "dot" }),
  );
  host.replaceChildren(f.root);
}

/** The probability along one input, a line with its band or, for a few values, points with theirs. */
export function drawAlong(host, { width, height, name, values, predictions, at, choose }) {
  const [low, high] = [values[0], values.at(-1)];
  const few = values.length < 10;
  const room = few ? 0.4 : 0;
  const f = frame(width, height, {
    margin: { left: 44, right: 16, bottom: 26 },
    x: { range: [low - room, high + room], ticks: few ? values : [low, (low + high) / 2, high], text: String },
    y: { range: [0, 1], ticks: TENTHS, text: percent, zero: 0 },
  });
  f.marks.append(svg("line", { x1: f.x(at), x2: f.x(at), y1: f.top, y2: f.bottom, class: "cursor" }));
  const points = (pick) => predictions.map((row, i) => [f.x(values[i]), f.y(pick(row))]);
  const [lows, middles, highs] = [(row) => row.interval.low, (row) => row.probability, (row) => row.interval.high].map(points);
  if (few) whiskers(f, lows, middles, highs);
  else f.marks.append(svg("path", { d: band(lows, highs), class: "band" }), svg("path", { d: curve(middles), class: "line" }));
  const [x, y] = few ? middles[values.indexOf(at)] : [f.x(at), valueAt(middles, f.x(at))];
  f.marks.append(svg("circle", { cx: x, cy: y, r: few ? 6 : 5, class: "dot" }));
  f.root.addEventListener("pointerdown", (event) => {
    const position = event.clientX - f.root.getBoundingClientRect().left;
    const value = low - room + ((position - f.left) / (f.right - f.left)) * (high - low + 2 * room);
    choose(name, nearest(values, value));
  });
  host.replaceChildren(f.root);
}

function whiskers(f, lows, middles, highs) {
  middles.forEach(([x, y], i) => {
    f.marks.append(
      svg("rect", { x: x - 9, width: 18, y: highs[i][1], height: lows[i][1] - highs[i][1], class: "band strong" }),
      svg("line", { x1: x - 9, x2: x + 9, y1: y, y2: y, class: "line" }),
    );
  });
}

/** The height of a line of points at x. */
function valueAt(points, x) {
  const after = Math.max(1, points.findIndex(([px]) => px >= x));
  const [[x0, y0], [x1, y1]] = [points[after - 1], points[after]];
  return y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}

const nearest = (values, value) =>
  values.reduce((best, other) => (Math.abs(other - value) < Math.abs(best - value) ? other : best));
