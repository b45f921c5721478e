import { noteStatus } from "./api.js";

// A job's server-sent events. Read with fetch rather than EventSource: only so are the heartbeats seen, and a
// connection that is open but silent is told from one that lives.
const SILENCE_SECONDS = 25; // the server sends something every 10
const FIRST_WAIT_SECONDS = 1;
const LONGEST_WAIT_SECONDS = 10;

// Calls `onProgress(data)`, `onEnd()` and `onLink({state, since, problem})`, where state is "connecting", "live", "lost",
// "hidden" or "ended". Returns what stops it. In a hidden tab the stream is closed: browsers open only six to a host.
export function follow(jobId, { onProgress, onEnd, onLink }) {
  let stopped = false;
  let controller = null;
  let lastHeard = null;
  let wait = FIRST_WAIT_SECONDS;
  let timer = null;
  let lastId = null;

  const lose = (problem) => {
    if (stopped) return;
    if (document.hidden) return onLink({ state: "hidden" });
    lastHeard = lastHeard || new Date();
    onLink({ state: "lost", since: lastHeard, problem });
    timer = setTimeout(connect, wait * 1000);
    wait = Math.min(LONGEST_WAIT_SECONDS, wait * 2);
  };

  const take = (event) => {
    if (event.id !== undefined) lastId = event.id;
    if (event.data) onProgress(JSON.parse(event.data));
    if (event.event === "end") {
      stopped = true;
      onLink({ state: "ended" });
      onEnd();
    }
  };

  async function connect() {
    clearTimeout(timer);
    controller = new AbortController();
    const mine = controller;
    let watch = null;
    const listen = () => {
      clearTimeout(watch);
      watch = setTimeout(() => mine.abort(), SILENCE_SECONDS * 1000);
    };
    const hear = () => {
      lastHeard = new Date();
      listen();
    };
    try {
      listen();
      const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
      const response = await fetch(`/v1/jobs/${jobId}/events`, { headers, signal: mine.signal });
      if (response.status === 204) return take({ event: "end" });
      noteStatus(response.status);
      if (response.status === 404) {
        stopped = true;
        return onEnd();
      }
      if (!response.ok) throw new Error(`the API answered ${response.status}`);
      hear();
      wait = FIRST_WAIT_SECONDS;
      onLink({ state: "live", since: new Date() });
      for await (const event of readEvents(response.body, hear)) {
        if (stopped) return undefined;
        take(event);
      }
      throw new Error("the stream ended");
    } catch (error) {
      if (mine === controller) lose(error.message);
    } finally {
      clearTimeout(watch);
    }
    return undefined;
  }

  const seen = () => {
    if (stopped) return;
    if (document.hidden) controller?.abort();
    else {
      clearTimeout(timer);
      connect();
    }
  };
  document.addEventListener("visibilitychange", seen);
  onLink({ state: "connecting" });
  connect();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
    controller?.abort();
  };
}

async function* readEvents(body, hear) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    hear();
    text += value.replaceAll("\r", "");
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const event = parseEvent(text.slice(0, end));
      text = text.slice(end + 2);
      if (event) yield event;
    }
  }
}

// null for a comment.
function parseEvent(block) {
  const event = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const name = line.slice(0, at);
    const value = line.slice(at + 1).replace(/^ /, "");
    event[name] = name === "data" && event.data !== undefined ? `${event.data}\n${value}` : value;
  }
  return Object.keys(event).length ? event : null;
}
