// The request behind a picture, as curl and as Python, ready to copy.

import { html } from "./dom.js";
import { hasKey } from "./api.js";

const WIDTH = 88;

/** JSON on one line where it fits, else a member a line; `words` writes what the languages differ in. */
function literal(value, words, indent = "") {
  const flat = one(value, words);
  if (indent.length + flat.length <= WIDTH || typeof value !== "object" || value === null) return flat;
  const deeper = `${indent}  `;
  if (Array.isArray(value)) return wrapped(value.map((item) => one(item, words)), deeper, indent);
  const members = Object.entries(value).map(
    ([name, item]) => `${deeper}${JSON.stringify(name)}: ${literal(item, words, deeper)}`,
  );
  return `{\n${members.join(",\n")}\n${indent}}`;
}

function wrapped(items, deeper, indent) {
  const lines = [""];
  for (const item of items) {
    if (lines.at(-1) && deeper.length + lines.at(-1).length + item.length > WIDTH) lines.push("");
    lines[lines.length - 1] += `${lines.at(-1) && " "}${item},`;
  }
  const body = lines.map((line) => deeper + line).join("\n").replace(/,$/, "");
  return `[\n${body}\n${indent}]`;
}

function one(value, words) {
  if (Array.isArray(value)) {
    if (words.repeat && value.length > 2 && value.every((item) => item === value[0])) {
      return `[${one(value[0], words)}] * ${value.length}`;
    }
    return `[${value.map((item) => one(item, words)).join(", ")}]`;
  }
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${one(v, words)}`);
    return `{${members.join(", ")}}`;
  }
  return words.scalar(value);
}

const JSON_WORDS = { repeat: false, scalar: (value) => JSON.stringify(value) };
const PYTHON = new Map([[true, "True"], [false, "False"], [null, "None"]]);
const PYTHON_WORDS = {
  repeat: true,
  scalar: (value) => PYTHON.get(value) ?? JSON.stringify(value),
};

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl({ path, body, file, piece }) {
  const key = hasKey() ? ' \\\n  -H "X-API-Key: $API_KEY"' : "";
  const url = location.origin + path;
  if (piece) {
    const command = `curl -s '${url}' \\\n  -H 'Content-Type: text/csv'${key.replaceAll('"', "'")} \\\n  --data-binary @-`;
    const send = `NR == 1 { header = $0; next }
  NR % ${piece} == 2 { close(command); print header | command }
  { print | command }`;
    return `awk -v command="${command}" '${send}' < ${quoted(file)}`;
  }
  if (body === undefined && !file) return `curl -s '${url}'${key}`;
  const type = file ? "text/csv" : "application/json";
  const data = quoted(file ? `@${file}` : literal(body, JSON_WORDS));
  return `curl -s '${url}' \\\n  -H 'Content-Type: ${type}'${key} \\\n  --data${file ? "-binary" : ""} ${data}`;
}

function python({ path, body, file, piece }) {
  const url = JSON.stringify(location.origin + path);
  const key = hasKey() ? '"X-API-Key": "..."' : "";
  const answer = "print(json.load(urllib.request.urlopen(request)))";
  const imports = "import json\nimport urllib.request\n";
  if (body === undefined && !file) {
    return `${imports}\nrequest = urllib.request.Request(${url}${key && `, headers={${key}}`})\n${answer}`;
  }
  const headers = `headers = {"Content-Type": "${file ? "text/csv" : "application/json"}"${key && `, ${key}`}}`;
  if (piece) {
    return `${imports}from pathlib import Path

first, *rows = Path(${JSON.stringify(file)}).read_bytes().splitlines(keepends=True)
${headers}
for start in range(0, len(rows), ${piece}):
    body = b"".join([first, *rows[start : start + ${piece}]])
    request = urllib.request.Request(
        ${url}, body, headers
    )
    ${answer}`;
  }
  const data = file
    ? `from pathlib import Path\n\nbody = Path(${JSON.stringify(file)}).read_bytes()`
    : `\nbody = json.dumps(${literal(body, PYTHON_WORDS)}).encode()`;
  return `${imports}${data}
${headers}
request = urllib.request.Request(
    ${url}, body, headers
)
${answer}`;
}

const LANGUAGES = [["curl", curl], ["Python", python]];

/**
 * Fill a <details class="code"> when it is opened; returns a function that takes the requests that
 * are behind the picture now, each {path, body}, {path, file}, or {path, file, piece}: so many lines of it at a time.
 */
export function codeIn(details) {
  let requests = [];
  const blocks = LANGUAGES.map(([name, write]) => ({ code: snippet(details, name), write }));
  const show = () => {
    if (!details.open) return;
    for (const { code, write } of blocks) code.textContent = requests.map(write).join("\n\n");
  };
  details.addEventListener("toggle", show);
  return (next) => {
    requests = next;
    show();
  };
}

/** Put a command into a <details class="code">, for what no request is behind. */
export function showCommand(details, command) {
  snippet(details, "shell").textContent = command;
}

/** A block of code under a heading, with a button that copies it; returns where the code goes. */
function snippet(details, name) {
  const code = html("code", {});
  const button = html("button", { type: "button" }, "Copy");
  button.addEventListener("click", () => copy(code, button));
  button.setAttribute("aria-label", `Copy the ${name} code`);
  const head = html("div", { class: "head" }, html("h3", {}, name), button);
  details.append(html("div", { class: "snippet" }, head, html("pre", { tabindex: 0 }, code)));
  return code;
}

async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code); // no clipboard without https: at least it is selected
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
