// The view is in the hash: #/datasets/demo/questions/17?domain=math
import { useEffect, useState } from "./ui.js";

// -> {path: ["datasets", "demo", "questions", "17"], query: {domain: "math"}, hash}
export function readRoute() {
  const hash = location.hash.replace(/^#/, "") || "/";
  const [path, query = ""] = hash.split("?");
  return {
    path: path.split("/").filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(query)),
    hash,
  };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function href(parts, query = {}) {
  const filled = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(filled).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export const go = (parts, query) => {
  location.hash = href(parts, query);
};

// Without a new entry in the history: for filters, where "back" should leave the page.
export const goInPlace = (parts, query) => {
  history.replaceState(null, "", href(parts, query));
  dispatchEvent(new HashChangeEvent("hashchange"));
};

export function useRoute() {
  const [route, setRoute] = useState(readRoute);
  useEffect(() => {
    const changed = () => setRoute((before) => { const now = readRoute(); return now.hash === before.hash ? before : now; });
    addEventListener("hashchange", changed);
    changed(); // what changed since the first picture
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
