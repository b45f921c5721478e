// A question to the person, in the browser's own modal dialog: it traps the focus, and Escape closes it.
import { html, useEffect, useRef, useState } from "../lib/ui.js";

// `onConfirm` may be async; what it throws is shown in the dialog, which then stays open.
export function Dialog({ title, confirm, danger, onConfirm, onClose, children, test }) {
  const dialog = useRef(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  const run = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await onConfirm();
      dialog.current?.close();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="dialog-title" data-test=${test}>
    <form onSubmit=${run}>
      <h2 id="dialog-title">${title}</h2>${children}
      ${problem && html`<p class="problem" role="alert" data-test="dialog-problem">${problem.message}</p>`}
      <div class="buttons">
        <button type="button" data-test="dialog-close" onClick=${() => dialog.current.close()}>Leave it</button>
        <button type="submit" class=${danger ? "danger" : "primary"} disabled=${busy} data-test="dialog-confirm">${confirm}</button>
      </div>
    </form></dialog>`;
}
