// What happens at this moment: limiter, batches under way, questions as they arrive.
import { html, useRef } from "../lib/ui.js";
import { clock, count, parseTime, short } from "../lib/format.js";
import { href } from "../lib/route.js";
import { Bar, Panel, State } from "./small.js";

export function Limits({ found, models }) {
  if (!found) return null;
  const rows = found.items.filter((limit) => models.size === 0 || models.has(limit.model));
  const away = found.broker === "away";
  return html`<${Panel} title="Rate limits" wide="w12" test="panel-limits" aside="shared by all workers; used in the last minute">
    ${away && html`<p class="wait" role="status">The broker is away: limits are not known, and no call starts.</p>`}
    ${!away && rows.length === 0 && html`<p class="quiet">No limit is known yet.</p>`}
    ${rows.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label="Rate limits"><table data-test="limits">
      <thead><tr><th scope="col">Model</th><th scope="col">Requests a minute</th><th scope="col">Tokens a minute</th><th scope="col">From</th><th scope="col">Now</th></tr></thead>
      <tbody>${rows.map((limit) => html`<tr key=${limit.model} data-test="limit"><th scope="row">${limit.model}</th>
        <td><${Use} used=${limit.used_requests} allowed=${limit.requests_per_minute} /></td>
        <td><${Use} used=${limit.used_tokens} allowed=${limit.tokens_per_minute} /></td>
        <td class="nowrap">${limit.learned ? "learned" : "set"}</td>
        <td class="nowrap">${isLater(limit.paused_until) ? html`<span class="state paused">paused until ${clock(limit.paused_until)}</span>`
            : limit.wait_seconds > 0.05 ? `a call waits ${limit.wait_seconds.toFixed(1)} s` : "open"}</td></tr>`)}
      </tbody></table></div>`}<//>`;
}

const isLater = (time) => time && parseTime(time) > new Date();

const Use = ({ used, allowed }) => html`<span class="nowrap">${short(used)} <span class="quiet">${allowed === null ? "no limit" : `of ${short(allowed)}`}</span></span>
  ${allowed !== null && html`<${Bar} done=${used || 0} whole=${allowed || 0} kind=${used > 0.9 * allowed ? "paused" : ""} />`}`;

export function LiveBatches({ live, job }) {
  if (!live?.batches || job.finished_at) return null;
  return html`<${Panel} title="Batches under way" wide="w6 top-aligned" test="panel-batches" aside=${`${count(live.batches.length)} now`}>
    ${live.batches.length === 0 && html`<p class="quiet">None at this moment.</p>`}
    ${live.batches.length > 0 && html`<div class="scroll tall" tabindex="0" role="group" aria-label="Batches under way"><table data-test="batches">
      <thead><tr><th scope="col">Batch</th><th scope="col">Calls</th><th scope="col">Worker</th><th scope="col" class="number">Lease until</th></tr></thead>
      <tbody>${live.batches.map((batch) => html`<tr key=${batch.id} data-test="batch">
        <td>${batch.flower_url ? html`<a href=${batch.flower_url} title="Open in Flower">${batch.label}</a>` : batch.label}</td>
        <td>${count(Math.min(batch.calls_parsed, batch.calls))} <span class="quiet">of ${count(batch.calls)}</span><${Bar} done=${batch.calls_parsed} whole=${batch.calls} /></td>
        <td class="quiet">${batch.in_bulk ? "in bulk" : batch.worker}</td><td class="number nowrap">${clock(batch.lease_until)}</td></tr>`)}</tbody></table></div>`}<//>`;
}

export function NewestQuestions({ live, job }) {
  const seen = useRef(null);
  if (!live?.questions) return null;
  const before = seen.current;
  seen.current = new Set([...(before || []), ...live.questions.map((each) => each.id)]);
  return html`<${Panel} title="Last questions" wide=${job.finished_at ? "w12" : "w6"} test="panel-newest" aside=${job.rehearsal ? "written by simulated models" : ""}>
    ${live.questions.length === 0 && html`<p class="quiet">None yet.</p>`}
    <div class="tall" tabindex="0" role="group" aria-label="Last questions"><ol class="questions" data-test="newest">${live.questions.map((each) => html`<li key=${each.id} class=${before && !before.has(each.id) ? "fresh" : ""}>
      <a class="text" href=${href(["datasets", job.dataset, "questions", each.id])} data-test="newest-question">${each.question}</a>
      <div class="meta"><span>${each.domain} / ${each.difficulty}</span><${State} of=${each.state} /><span>${each.model}</span><span>${clock(each.created_at)}</span></div></li>`)}</ol></div><//>`;
}
