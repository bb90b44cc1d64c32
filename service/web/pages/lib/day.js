// The picture of a day: 24 hours of forecast with the interval, a second weather, and what was counted.

import { alignSlider, band, curve, frame, ticks } from "./chart.js";
import { html, svg } from "./dom.js";
import { swatch } from "./lines.js";
import { count, hourName, percent } from "./words.js";

/** Draw into `host`, name the marks in `legend`, and put `slider` under the hours. */
export function drawDay(host, legend, slider, { width, height, a, b, real, at, level }) {
  const top = Math.max(
    50,
    ...[a, b].filter(Boolean).flatMap(({ predictions }) => predictions.map((row) => row.interval.high)),
    ...(real ? real.rentals : []),
  );
  const scale = ticks(0, top, height < 260 ? 3 : 4);
  const narrow = width < 520;
  const f = frame(width, height, {
    margin: { left: 10 + 8 * count(scale.at(-1)).length, right: 20 },
    x: { range: [0, 23], ticks: narrow ? [0, 6, 12, 18] : [0, 3, 6, 9, 12, 15, 18, 21, 23], text: (h) => hourName(h) },
    y: { range: [0, scale.at(-1)], ticks: scale, text: count, zero: 0 },
  });
  f.marks.append(svg("line", { x1: f.x(at), x2: f.x(at), y1: f.top, y2: f.bottom, class: "cursor" }));
  if (b) series(f, b, at, "b");
  series(f, a, at, "a");
  if (real) crosses(f, real);
  host.replaceChildren(f.root);
  alignSlider(slider, f);
  choose(f, slider);
  names(legend, b, real, level);
}

function series(f, { predictions }, at, name) {
  const line = (pick) => predictions.map((row, hour) => [f.x(hour), f.y(pick(row))]);
  const low = line((row) => row.interval.low);
  const high = line((row) => row.interval.high);
  const middle = line((row) => row.rentals);
  f.marks.append(
    svg("path", { d: band(low, high), class: `band ${name}` }),
    svg("path", { d: curve(middle), class: `line ${name}` }),
    svg("circle", { cx: middle[at][0], cy: middle[at][1], r: 5, class: `dot ${name}` }),
  );
}

function crosses(f, real) {
  real.hour.forEach((hour, i) => {
    const [x, y] = [f.x(hour), f.y(real.rentals[i])];
    f.marks.append(svg("path", { d: `M${x - 4},${y - 4}l8,8m0,-8l-8,8`, class: "cross" }));
  });
}

/** A click or a drag in the picture chooses the hour, as the slider does. */
function choose(f, slider) {
  const to = (event) => {
    const x = event.clientX - f.root.getBoundingClientRect().left;
    const hour = Math.round((23 * (x - f.left)) / (f.right - f.left));
    const value = String(Math.min(23, Math.max(0, hour)));
    if (slider.value !== value) {
      slider.value = value;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
  };
  f.root.addEventListener("pointerdown", to);
  f.root.addEventListener("pointermove", (event) => event.buttons && to(event));
}

function names(legend, b, real, level) {
  const entries = [["line a", "Forecast, rentals per hour"], ["band a", `${percent(level)} interval`]];
  if (b) entries.push(["line b", "Other weather"]);
  if (real) entries.push(["cross", "Counted"]);
  const wanted = entries.map(([, name]) => name).join();
  if (legend.dataset.names === wanted) return;
  legend.dataset.names = wanted;
  legend.replaceChildren(...entries.map(([mark, name]) => html("li", {}, swatch(mark), name)));
}
