// Charts as SVG: a frame with axes, and marks in it. Sizes are pixels of the page, so text stays sharp.

import { svg } from "./dom.js";

/** Round numbers from 0 or below to the top of a scale, about `n` of them; the last is at or above `high`. */
export function ticks(low, high, n = 4) {
  const rough = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** A tick with as many decimals as the finest of its scale needs: 0.75 is not 0.8 beside 0.50. */
export const exact = (scale) => {
  const decimals = Math.max(...scale.map((tick) => (String(tick).split(".")[1] ?? "").length));
  return (tick) => tick.toFixed(decimals);
};

/** Draw now, whenever the host changes its width, and whenever the returned function is called. */
export function responsive(host, draw) {
  const redraw = () => {
    if (host.clientWidth) draw(host.clientWidth, host.clientHeight);
  };
  let width = 0;
  new ResizeObserver(() => {
    if (host.clientWidth !== width) redraw();
    width = host.clientWidth;
  }).observe(host);
  return redraw;
}

const scale = ([low, high], start, end) => (value) => start + ((value - low) / (high - low)) * (end - start);

/**
 * An SVG with axes. x, y: {range, ticks, text, title, grid}; `text` writes a tick.
 * Returns {root, x, y, marks}: the scales, and the group that takes the marks.
 */
export function frame(width, height, { x, y, margin }) {
  const m = { top: 12, right: 12, bottom: 28, left: 44, ...margin };
  const right = width - m.right;
  const bottom = height - m.bottom;
  const toX = scale(x.range, m.left, right);
  const toY = scale(y.range, bottom, m.top);
  const axes = svg("g", { class: "axes" });
  for (const value of y.ticks) {
    const at = Math.round(toY(value)) + 0.5;
    axes.append(svg("line", { x1: m.left, x2: right, y1: at, y2: at, class: value === y.zero ? "zero" : "grid" }));
    axes.append(svg("text", { x: m.left - 8, y: at, class: "y" }, y.text(value)));
  }
  for (const value of x.ticks) {
    const at = toX(value);
    if (x.grid) axes.append(svg("line", { x1: at, x2: at, y1: m.top, y2: bottom, class: "grid" }));
    axes.append(svg("text", { x: at, y: bottom + 18, class: "x" }, x.text(value)));
  }
  if (y.title) axes.append(svg("text", { x: 0, y: 10, class: "title" }, y.title));
  if (x.title) axes.append(svg("text", { x: right, y: height - 2, class: "title end" }, x.title));
  const marks = svg("g", { class: "marks" });
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, axes, marks);
  return { root, marks, width, x: toX, y: toY, left: m.left, right, top: m.top, bottom };
}

const put = (number) => number.toFixed(1);

/** Through points [[x, y], ...] without overshooting between them (Fritsch and Carlson 1980). */
export function curve(points) {
  const n = points.length;
  if (n < 3) return straight(points);
  const slopes = [];
  for (let i = 0; i < n - 1; i++) {
    slopes.push((points[i + 1][1] - points[i][1]) / (points[i + 1][0] - points[i][0]));
  }
  const tangents = [slopes[0]];
  for (let i = 1; i < n - 1; i++) {
    const [a, b] = [slopes[i - 1], slopes[i]];
    tangents.push(a * b <= 0 ? 0 : (2 * a * b) / (a + b));
  }
  tangents.push(slopes[n - 2]);
  let path = `M${put(points[0][0])},${put(points[0][1])}`;
  for (let i = 0; i < n - 1; i++) {
    const [[x0, y0], [x1, y1]] = [points[i], points[i + 1]];
    const third = (x1 - x0) / 3;
    path += `C${put(x0 + third)},${put(y0 + tangents[i] * third)} ${put(x1 - third)},${put(
      y1 - tangents[i + 1] * third,
    )} ${put(x1)},${put(y1)}`;
  }
  return path;
}

export const straight = (points) => `M${points.map(([x, y]) => `${put(x)},${put(y)}`).join("L")}`;

/** The area between two lines of points. */
export const band = (low, high, through = curve) =>
  `${through(high)}L${through([...low].reverse()).slice(1)}Z`;

/** The span of a slider below a chart, so that its thumb stands below the point that it chooses. */
export function alignSlider(slider, drawn) {
  slider.style.marginInlineStart = `${drawn.left - 9}px`;
  slider.style.width = `calc(100% - ${drawn.width - (drawn.right - drawn.left + 18)}px)`;
}
