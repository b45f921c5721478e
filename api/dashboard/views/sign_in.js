// Where a key is needed and none was given: the only page there is.
import { html, useEffect, useRef, useState } from "../lib/ui.js";
import { signIn } from "../lib/session.js";

export function SignIn() {
  const [key, setKey] = useState("");
  const [state, setState] = useState({ busy: false, problem: null });
  const input = useRef(null);
  useEffect(() => {
    document.title = "Sign in – Questmill";
    input.current.focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, problem: null });
    try {
      await signIn(key.trim());
    } catch (problem) {
      setState({ busy: false, problem });
      input.current.focus();
    }
  };
  const { busy, problem } = state;
  return html`<form class="panel sign-in" onSubmit=${submit} data-test="sign-in">
    <h1 tabindex="-1">Sign in</h1>
    <div class="field"><label for="key">Key</label>
      <input id="key" ref=${input} type="password" name="key" autocomplete="current-password" spellcheck=${false} placeholder="qm_" required value=${key} data-test="key"
        aria-invalid=${problem ? "true" : undefined} aria-describedby=${problem ? "key-problem key-help" : "key-help"} onInput=${(event) => setKey(event.target.value)} />
      ${problem && html`<p class="problem" id="key-problem" role="alert" data-test="sign-in-problem">${problem.message}</p>`}</div>
    <div class="buttons"><button type="submit" class="primary" disabled=${busy} data-test="sign-in-submit">${busy ? "Signing in" : "Sign in"}</button></div>
    <p class="note" id="key-help">Whoever runs this Questmill makes keys with <code>./run keys create NAME --scope read</code>, <code>submit</code> or <code>admin</code>.</p></form>`;
}
