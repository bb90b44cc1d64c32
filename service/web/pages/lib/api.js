// Calls to the service, and their failures in words.

const KEY = "api-key";

export const keepKey = (key) => sessionStorage.setItem(KEY, key);
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

/**
 * A failed call. faults: field -> words; retry: seconds until a retry makes sense, or null; needsKey: an API
 * key would help.
 */
export class Failure extends Error {
  constructor(words, { faults = {}, retry = null, needsKey = false } = {}) {
    super(words);
    this.faults = faults;
    this.retry = retry;
    this.needsKey = needsKey;
  }
}

/** The JSON answer of a call. `body` is sent as JSON unless it is a string. Throws Failure. */
export async function ask(path, { body, signal, type = "application/json" } = {}) {
  const headers = {};
  if (hasKey()) headers["X-API-Key"] = encodable(sessionStorage.getItem(KEY));
  const options = { headers, signal };
  if (body !== undefined) {
    headers["Content-Type"] = type;
    options.method = "POST";
    options.body = typeof body === "string" ? body : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
    if (response.ok) return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The service does not answer.", { retry: 2 });
  }
  throw await failureOf(response);
}

/** The key; Failure if `fetch` would refuse it, as with a typographic quote that was copied too. */
function encodable(key) {
  if (/^[\x20-\x7e\xa0-\xff]*$/.test(key)) return key;
  throw new Failure("The API key has a letter that no header can carry; copy it again.", { needsKey: true });
}

async function failureOf(response) {
  const problem = await response.json().catch(() => ({}));
  const words = problem.detail ?? `The service answered with status ${response.status}.`;
  if (response.status === 401) return new Failure(words, { needsKey: true });
  if (response.status === 503 || response.status === 429) {
    const after = Number(response.headers.get("Retry-After")) || 1;
    return new Failure("The service is busy.", { retry: Math.min(after, 30) });
  }
  if (response.status >= 500) {
    const id = response.headers.get("X-Request-ID");
    return new Failure(`${words}${id ? ` Request ${id}.` : ""}`, { retry: 5 });
  }
  return new Failure(words, { faults: faultsOf(problem.errors ?? []) });
}

/** Field -> its first fault; a pointer is /field or /inputs/field/row. */
function faultsOf(errors) {
  const faults = {};
  for (const { pointer, parameter, detail } of errors) {
    const parts = (pointer ?? `/${parameter}`).split("/").filter((part) => part !== "inputs");
    faults[parts[1]] ??= detail;
  }
  return faults;
}
