// Elements, HTML and SVG, and the few things that every page does with them.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const html = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** A table: its header cells, then rows of which the first cell is a header too. */
export function table(caption, header, rows) {
  return html(
    "table",
    {},
    html("caption", {}, caption),
    html("thead", {}, html("tr", {}, header.map((text) => html("th", { scope: "col" }, text)))),
    html(
      "tbody",
      {},
      rows.map(([first, ...rest]) =>
        html(
          "tr",
          {},
          html("th", { scope: "row" }, first),
          rest.map((cell, i) => html("td", { "data-column": header[i + 1] }, cell)),
        ),
      ),
    ),
  );
}

/** Put a table into a <details> when it is opened, and after that whenever it changes. */
export function tableIn(details) {
  let make = null;
  const place = details.querySelector(".table");
  const show = () => {
    if (details.open && make) place.replaceChildren(make());
  };
  details.addEventListener("toggle", show);
  return (next) => {
    make = next;
    show();
  };
}
