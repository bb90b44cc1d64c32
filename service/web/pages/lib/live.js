// Keeping a picture up to date while the input changes, and when the service goes away and comes back.

import { Failure, keepKey } from "./api.js";
import { byId, html } from "./dom.js";
import { sentence } from "./words.js";

const PAUSE = 40; // ms from a change to its request
const STALE = 250; // ms after which a running request is aborted for a newer one

byId("notice").replaceChildren(); // it says that this page's scripts have not arrived: no script runs before all have

/**
 * Returns a function to call after each change. It soon runs `update(signal)`, one run at a time: a
 * change during a run starts another one afterwards, or at once if the run takes long. A failure is
 * shown, and retried automatically if waiting can help. `place(failure)` may show a failure next to the
 * field that it is about, and returns whether it did; `place(null)` clears it.
 */
export function live(update, place = () => false) {
  let timer = 0;
  let retry = 0;
  let running = null;
  let again = false;

  async function run() {
    const mine = { abort: new AbortController(), since: performance.now() };
    running = mine;
    again = false;
    try {
      await update(mine.abort.signal);
      if (running === mine) {
        place(null);
        quiet(update);
        mark(update, false);
      }
    } catch (error) {
      if (running === mine && error.name !== "AbortError") failed(error);
    }
    if (running === mine) {
      running = null;
      if (again) run();
    }
  }

  function failed(error) {
    if (!(error instanceof Failure)) throw error;
    mark(update, true);
    if (place(error)) quiet(update);
    else say(update, error, changed);
    if (error.retry) retry = setTimeout(changed, 1000 * error.retry);
  }

  function changed() {
    clearTimeout(retry);
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      if (running && performance.now() - running.since < STALE) {
        again = true;
        return;
      }
      running?.abort.abort();
      run();
    }, PAUSE);
  }
  return changed;
}

/** Run `update` once, with failures shown in the same way. */
export const once = (update) => live(update)();

const failing = new Set(); // what shows an old answer, because the last request got none

function mark(who, fails) {
  failing[fails ? "add" : "delete"](who);
  document.body.classList.toggle("failing", failing.size > 0);
}

const said = new Map(); // what failed -> {words, needsKey, tryAgain}

function say(who, error, tryAgain) {
  const words = error.retry ? `${error.message} Trying again automatically.` : sentence(error.message);
  said.set(who, { words, needsKey: error.needsKey, tryAgain });
  show();
}

function quiet(who) {
  if (said.delete(who)) show();
}

/** Show each distinct failure once, however many pictures it concerns. */
function show() {
  const lines = new Map([...said.values()].map(({ words, needsKey }) => [words, needsKey]));
  const place = byId("notice");
  const before = [...place.querySelectorAll("p")].map((line) => line.textContent);
  if (before.join("\n") === [...lines.keys()].join("\n")) return;
  place.replaceChildren(
    ...[...lines].map(([words, needsKey]) =>
      html("div", { class: "line" }, html("p", {}, words), needsKey ? keyForm() : tryButton()),
    ),
  );
}

function tryEverything() {
  for (const { tryAgain } of [...said.values()]) tryAgain();
}

function tryButton() {
  const button = html("button", { type: "button" }, "Try now");
  button.addEventListener("click", tryEverything);
  return button;
}

function keyForm() {
  const field = html("input", { id: "key", type: "password", autocomplete: "off", required: true });
  const label = html("label", { for: "key" }, "API key");
  const form = html("form", { class: "key" }, label, field, html("button", {}, "Use it"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepKey(field.value.trim());
    tryEverything();
  });
  return form;
}
