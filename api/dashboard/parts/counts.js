// Counts by name, the largest first, each as text and as a bar.
import { html } from "../lib/ui.js";
import { count, words } from "../lib/format.js";

export function Counts({ counts, kind = "", none }) {
  const rows = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  if (rows.length === 0) return html`<p class="quiet">${none}</p>`;
  const most = rows[0][1] || 1;
  return html`<div class="bars" role="list">${rows.map(([name, n]) => html`
    <span key=${name} role="listitem" data-test="count" data-name=${name}>${words(name)}<span class="hidden-label">: ${count(n)}</span></span>
    <span class="bar" aria-hidden="true"><i class=${kind} style=${{ "--at": (n / most) * 100 }}></i></span>
    <span class="number" aria-hidden="true">${count(n)}</span>`)}</div>`;
}
