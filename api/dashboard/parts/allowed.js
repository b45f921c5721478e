// What the key of the person may not do is not offered; why is said in its place.
import { html } from "../lib/ui.js";
import { may } from "../lib/session.js";

export function Allowed({ scope, what, children }) {
  if (may(scope)) return children;
  return html`<p class="note" data-test="not-allowed">${what} needs a key of the scope ${scope}.</p>`;
}
