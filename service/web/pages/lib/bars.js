// What moved an answer: a table with a bar in each row, which is its own text alternative.

import { html, svg } from "./dom.js";

const WIDTH = 200;
const HEIGHT = 18;

/**
 * rows: [{name, detail, value, soft}]; write: value -> text. A soft row stands back behind the others.
 */
export function bars(caption, rows, write) {
  const low = Math.min(0, ...rows.map((row) => row.value));
  const high = Math.max(0, ...rows.map((row) => row.value));
  const span = high - low || 1;
  const at = (value) => ((value - low) / span) * (WIDTH - 2) + 1;
  return html(
    "table",
    { class: "bars" },
    html("caption", {}, caption),
    html(
      "tbody",
      {},
      rows.map(({ name, detail, value, soft }) =>
        html(
          "tr",
          {},
          html("th", { scope: "row" }, name, detail ? html("span", { class: "detail" }, detail) : null),
          html("td", { class: "bar" }, bar(at(0), at(value), soft ? "soft" : value < 0 ? "down" : "up")),
          html("td", { class: "number" }, write(value)),
        ),
      ),
    ),
  );
}

function bar(zero, end, name) {
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", {
      x: Math.min(zero, end),
      y: 3,
      width: Math.max(Math.abs(end - zero), 0.5),
      height: HEIGHT - 6,
      class: name,
    }),
    svg("line", { x1: zero, x2: zero, y1: 0, y2: HEIGHT, class: "axis" }),
  );
}
