// Requests to the API. A problem it answers is thrown as `Problem`, with its `errors` by place.
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The API answered ${status}.`);
    this.status = status;
    this.errors = body.errors || [];
  }
}

// What is told to the window when the API asks for a key: the session is over, or there was none.
export const SIGNED_OUT = "questmill-signed-out";
export const noteStatus = (status) => status === 401 && dispatchEvent(new Event(SIGNED_OUT));

export async function ask(path, { method = "GET", json, body, headers = {}, signal, signingIn = false } = {}) {
  const sent = json === undefined ? body : JSON.stringify(json);
  const type = json === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method, body: sent, headers: { ...type, ...headers }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The API cannot be reached." });
  }
  if (!signingIn) noteStatus(response.status);
  if (response.ok) return response.status === 204 ? null : response.json();
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // Not one of ours: the status alone must do.
  }
  throw new Problem(response.status, problem);
}

export const post = (path, json) => ask(path, { method: "POST", json });

// A query without what is empty.
export function withQuery(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

export const segment = encodeURIComponent;
