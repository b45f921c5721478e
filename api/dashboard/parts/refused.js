// Refused candidates of a job, each with what it repeats. Asked for only when somebody wants to see them.
import { html, useState } from "../lib/ui.js";
import { ask, withQuery } from "../lib/api.js";
import { href } from "../lib/route.js";
import { moment } from "../lib/format.js";

const PAGE = 20;

export function Refused({ jobId, dataset, reasons }) {
  const [reason, setReason] = useState("");
  const [state, setState] = useState({ items: null, cursor: null, busy: false, problem: null });
  const read = async (wanted, cursor) => {
    setState((before) => ({ ...before, busy: true, problem: null }));
    try {
      const page = await ask(withQuery(`/v1/jobs/${jobId}/rejections`, { reason: wanted, limit: PAGE, cursor }));
      setState((before) => ({ items: cursor ? [...before.items, ...page.items] : page.items, cursor: page.next_cursor, busy: false, problem: null }));
    } catch (problem) {
      setState((before) => ({ ...before, busy: false, problem }));
    }
  };
  const choose = (event) => {
    setReason(event.target.value);
    read(event.target.value, null);
  };
  const { items, cursor, busy, problem } = state;
  return html`<div data-test="refused">
    <div class="buttons" style=${{ marginTop: 0 }}>
      <button type="button" disabled=${busy} onClick=${() => read(reason, null)} data-test="refused-show">${items ? "Read again" : "Show the refused candidates"}</button>
      ${items && html`<select aria-label="Reason" style=${{ width: "auto" }} value=${reason} onChange=${choose} data-test="refused-reason"><option value="">every reason</option>
        ${reasons.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select>`}
      ${problem && html`<span class="problem" role="alert">${problem.message}</span>`}</div>
    ${items?.length === 0 && html`<p class="quiet">None.</p>`}
    <ol class="questions">${(items || []).map((each) => html`<li key=${each.id} data-test="refused-row">
      <span class="text">${each.text === null ? html`<span class="quiet">its text was pruned</span>` : each.text}</span>
      <div class="meta"><span class="state rejected">${each.reason}</span>${each.similarity !== null && html`<span>similarity ${each.similarity.toFixed(2)}</span>`}<span>${moment(each.created_at)}</span></div>
      ${each.question_id !== null && html`<div class="matched"><span class="note">is like </span><a href=${href(["datasets", dataset, "questions", each.question_id])} data-test="refused-match">${each.question ?? `question ${each.question_id}`}</a></div>`}
      ${each.matched && html`<div class="matched note">is like ${each.matched}</div>`}</li>`)}</ol>
    ${cursor && html`<div class="buttons"><button type="button" disabled=${busy} onClick=${() => read(reason, cursor)} data-test="refused-more">More</button></div>`}</div>`;
}
