// The smallest parts: a state, a bar, a message, the word rehearsal.
import { html } from "../lib/ui.js";
import { clock } from "../lib/format.js";

export const State = ({ of, test = "state" }) => html`<span class=${`state ${of}`} data-test=${test}>${of}</span>`;

export const Rehearsal = () => html`<span class="rehearsal" data-test="rehearsal"
  title="The models are simulated; nothing is paid.">rehearsal: nothing is paid</span>`;

// `done` of `whole`; what is beneath is drawn softly (say, generated but not yet answered).
export function Bar({ done, whole, beneath = 0, kind = "", label, test }) {
  const at = (value) => (whole > 0 ? Math.max(0, Math.min(100, (value / whole) * 100)) : value > 0 ? 100 : 0);
  return html`<span class=${`bar ${kind}`} data-test=${test} role=${label ? "progressbar" : undefined}
      aria-label=${label} aria-valuenow=${label ? Math.floor(at(done)) : undefined}
      aria-valuemin=${label ? 0 : undefined} aria-valuemax=${label ? 100 : undefined}>
    ${beneath > 0 && html`<i class="soft" style=${{ "--at": at(beneath) }}></i>`}
    <i style=${{ "--at": at(done) }}></i></span>`;
}

export function Message({ kind = "bad", children, test }) {
  return html`<div class=${`message ${kind}`} role=${kind === "bad" ? "alert" : "status"} data-test=${test}>${children}</div>`;
}

// Old data stays on the page; this line says how old.
export function Stale({ problem, since }) {
  if (!problem) return null;
  return html`<${Message} test="stale">${problem.message}${" "}
    ${since ? `What you see is of ${clock(since)}; trying again.` : "Trying again."}<//>`;
}

export const Panel = ({ title, aside, wide, test, children }) => html`
  <section class=${`panel ${wide}`} data-test=${test} aria-label=${title}>
    <header><h2>${title}</h2>${aside && html`<div class="note">${aside}</div>`}</header>${children}</section>`;
