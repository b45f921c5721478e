// Drop a file of questions, or choose one; it goes into the dataset as its baseline.
import { html, useRef, useState } from "../lib/ui.js";
import { ask, segment } from "../lib/api.js";
import { count } from "../lib/format.js";
import { may } from "../lib/session.js";
import { Allowed } from "./allowed.js";

export function ImportDrop({ dataset, onDone }) {
  const [name, setName] = useState(dataset || "");
  const [over, setOver] = useState(false);
  const [state, setState] = useState({ busy: null, report: null, problem: null });
  const input = useRef(null);
  const send = async (file) => {
    if (!file || state.busy) return;
    const into = dataset || name.trim() || file.name.split(".")[0].toLowerCase();
    setState({ busy: `Importing ${file.name} into ${into}`, report: null, problem: null });
    try {
      const type = file.name.endsWith(".gz") ? "application/gzip" : "application/x-ndjson";
      const report = await ask(`/v1/datasets/${segment(into)}/baseline`, { method: "POST", body: file, headers: { "Content-Type": type } });
      setState({ busy: null, report: { ...report, into }, problem: null });
      onDone?.();
    } catch (problem) {
      setState({ busy: null, report: null, problem });
    }
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const { files } = event.dataTransfer;
    if (files.length === 1) send(files[0]);
    else setState({ ...state, report: null, problem: { message: files.length ? `Drop one file at a time: these are ${files.length}.` : "That is not a file: drop a file of JSON lines." } });
  };
  if (!may("submit")) return html`<${Allowed} scope="submit" what="Importing" />`;
  const { busy, report, problem } = state;
  return html`<div class=${`drop ${over ? "over" : ""}`} data-test="import" onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <span>Drop JSON lines here (plain or gzip), with question, domain, difficulty</span>
    ${!dataset && html`<input style=${{ width: "180px" }} aria-label="Dataset to import into" placeholder="dataset" value=${name} data-test="import-name" onInput=${(event) => setName(event.target.value)} />`}
    <button type="button" data-test="import-choose" onClick=${() => input.current.click()} disabled=${Boolean(busy)}>Choose a file</button>
    <input ref=${input} type="file" hidden data-test="import-file" aria-label="File to import" onChange=${(event) => { send(event.target.files[0]); event.target.value = ""; }} />
    <div role="status" style=${{ flexBasis: "100%" }} hidden=${!busy && !report && !problem}>
      ${busy && html`<span class="quiet">${busy}</span>`}
      ${problem && html`<span class="problem" data-test="import-problem">${problem.message}</span>`}
      ${report && html`<span data-test="import-report">${report.into}: ${count(report.read)} read, ${count(report.imported)} imported, ${count(report.duplicates)} duplicates, ${count(report.invalid)} invalid</span>
        ${report.problems.slice(0, 10).map((each) => html`<div class="note" key=${each.line}>line ${each.line}: ${each.error}</div>`)}`}</div></div>`;
}
