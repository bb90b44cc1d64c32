// The fields of a form: an exact number beside its slider, choices, and the words of a fault in place.

import { plain, sentence } from "./words.js";

/**
 * Wire every `.field` in `root`; `changed` is called after each change by a person.
 * Returns {values, fault}: `values()` is field -> value, a number as of `numberIn`, so that a request leaves out
 * what is empty; `fault({field: words})` shows what is wrong, clears the rest, and returns how many it could show.
 */
export function fieldsOf(root, changed) {
  const readers = {};
  for (const field of root.querySelectorAll(".field")) {
    const number = field.querySelector("input[inputmode]");
    const slider = field.querySelector("input[type=range]");
    const choices = [...field.querySelectorAll("input[type=radio]")];
    const other = field.querySelector("select, input[type=date]");
    if (number) {
      pair(number, slider);
      readers[field.dataset.field] = () => numberIn(number);
    } else if (choices.length) {
      readers[field.dataset.field] = () => choices.find((choice) => choice.checked)?.value;
    } else if (other) {
      readers[field.dataset.field] = () => other.value;
    }
    field.querySelector(".fault")?.setAttribute("role", "alert"); // said while the focus is elsewhere
  }
  root.addEventListener("input", changed);
  return {
    values: () => Object.fromEntries(Object.entries(readers).map(([name, read]) => [name, read()])),
    fault: (faults) => {
      const fields = [...root.querySelectorAll(".field")];
      for (const field of fields) mark(field, faults[field.dataset.field]);
      return fields.filter((field) => field.dataset.field in faults).length;
    },
  };
}

/** A number and a slider that follow each other; the number may go where the slider does not reach. */
function pair(number, slider) {
  number.setAttribute("role", "spinbutton");
  follow(number, slider);
  slider?.addEventListener("input", () => setPair(number, slider, slider.value));
  number.addEventListener("input", () => follow(number, slider));
  number.addEventListener("keydown", (event) => step(event, number, slider));
}

/** Tell the slider and a screen reader what stands in the number. */
function follow(number, slider) {
  const value = numberIn(number);
  if (slider) slider.value = value;
  if (typeof value === "number") number.setAttribute("aria-valuenow", value);
  else number.removeAttribute("aria-valuenow");
}

/** Up and down step a number as far as its slider reaches, by the slider's steps, or by 1. */
function step(event, number, slider) {
  const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  const value = numberIn(number);
  if (!way || typeof value !== "number" || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault(); // the cursor stays where it is
  const { step: by = 1, min = -Infinity, max = Infinity } = slider ?? {};
  const next = Number((value + way * by).toFixed(6)); // 0.1 + 0.2 is 0.3
  number.value = way > 0 ? Math.min(next, Math.max(max, value)) : Math.max(next, Math.min(min, value));
  number.dispatchEvent(new Event("input", { bubbles: true }));
}

/**
 * The number in a field, undefined where nothing stands; a text that is no number stays one, for the service to
 * refuse. A comma is the decimal sign, as a point is: no field reaches 1,000. The browser's own field for numbers
 * drops the sign that its language does not have, and makes 215 of 21,5.
 */
function numberIn(input) {
  const text = input.value.trim();
  const number = Number(text.replace(",", ".").replace("−", "-"));
  return text === "" ? undefined : Number.isFinite(number) ? number : text;
}

function mark(field, words) {
  const place = field.querySelector(".fault");
  if (!place) return;
  const text = words ? sentence(plain(words)) : "";
  const folded = field.closest("details");
  if (words && folded) folded.open = true;
  if (place.textContent !== text) place.textContent = text;
  for (const input of field.querySelectorAll("input, select")) {
    if (words) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", place.id);
    } else {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }
}

/** Set a number and its slider without telling anybody. */
export function setNumber(field, value) {
  const input = field.querySelector("input[inputmode]");
  const slider = field.querySelector("input[type=range]");
  setPair(input, slider, value);
}

function setPair(number, slider, value) {
  number.value = value;
  follow(number, slider);
}
