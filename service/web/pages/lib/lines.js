// Curves of any kind: lines and points over a range, with a legend.

import { frame, straight } from "./chart.js";
import { html, svg } from "./dom.js";

/**
 * series: [{name, mark, points: [[x, y], ...]}]; mark: "line a", "line b", "line guide" or "dot".
 * x, y: as `frame` takes them. `bars`: of a series, [[x, low, high], ...], drawn behind its points.
 */
export function drawLines(host, legend, { width, height, x, y, series }) {
  const f = frame(width, height, { margin: { left: 52, right: 20, bottom: 40, top: y.title ? 24 : 12 }, x, y });
  for (const { mark, points, bars = [] } of series) {
    for (const [at, low, high] of bars) {
      f.marks.append(svg("line", { x1: f.x(at), x2: f.x(at), y1: f.y(low), y2: f.y(high), class: "whisker" }));
    }
    const placed = points.map(([px, py]) => [f.x(px), f.y(py)]);
    if (mark === "dot") {
      f.marks.append(...placed.map(([cx, cy]) => svg("circle", { cx, cy, r: 4.5, class: mark })));
    } else f.marks.append(svg("path", { d: straight(placed), class: mark }));
  }
  host.replaceChildren(f.root);
  legend.replaceChildren(...series.map(({ name, mark }) => html("li", {}, swatch(mark), name)));
}

/** A small picture of a mark, for a legend. */
export function swatch(mark) {
  const shapes = {
    band: () => svg("rect", { width: 22, height: 10, y: 1, class: mark }),
    cross: () => svg("path", { d: "M7,2l8,8m0,-8l-8,8", class: mark }),
    dot: () => svg("circle", { cx: 11, cy: 6, r: 4.5, class: mark }),
    line: () => svg("path", { d: "M0,6h22", class: mark }),
  };
  return svg("svg", { width: 22, height: 12, viewBox: "0 0 22 12" }, shapes[mark.split(" ")[0]]());
}
