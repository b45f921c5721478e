// Whose key this browser is signed in with, and the way out.
import { html, useState } from "../lib/ui.js";
import { signOut } from "../lib/session.js";

export function Who({ signedIn }) {
  const [problem, setProblem] = useState(null);
  return html`<span class="note" data-test="who">${signedIn.name} (${signedIn.scope})</span>
    <button type="button" class="plain" data-test="sign-out" onClick=${() => signOut().catch(setProblem)}>Sign out</button>
    ${problem && html`<span class="problem" role="alert">${problem.message}</span>`}`;
}
