// All jobs, newest first.
import { html, useEffect, useState } from "../lib/ui.js";
import { ask, withQuery } from "../lib/api.js";
import { usePoll } from "../lib/poll.js";
import { href } from "../lib/route.js";
import { count, duration, moment, money, percentDone } from "../lib/format.js";
import { Bar, Rehearsal, Stale, State } from "../parts/small.js";

const SECONDS = 3;
const PAGE = 50;

export function Jobs() {
  const [cursors, setCursors] = useState([null]);
  const cursor = cursors[cursors.length - 1];
  const { data, problem, since } = usePoll((signal) => readJobs(cursor, signal), SECONDS, cursor);
  useEffect(() => {
    document.title = "Jobs – Questmill";
  }, []);
  const jobs = data?.items;
  return html`
    <div class="head"><h1>Jobs</h1>
      <div class="actions"><a class="button primary" href="#/new" data-test="new-job">New job</a></div></div>
    <${Stale} problem=${problem} since=${since} />
    <section class="panel" aria-label="Jobs" aria-busy=${!data}>
      ${!data && !problem && html`<p class="quiet">Reading the jobs</p>`}
      ${jobs?.length === 0 && html`<p data-test="no-jobs">No job yet. <a href="#/new">Make the first one</a>, or <code>./run questmill submit SPEC</code>.</p>`}
      ${jobs?.length > 0 && html`<table class="jobs" data-test="jobs">
        <thead><tr><th scope="col">Dataset</th><th scope="col">State</th><th scope="col">Questions</th>
          <th scope="col" class="number">A minute</th><th scope="col" class="number">Time left</th>
          <th scope="col" class="number">Cost of budget</th></tr></thead>
        <tbody>${jobs.map((job) => html`<${Row} key=${job.id} job=${job} />`)}</tbody></table>`}
    </section>
    ${data && (cursors.length > 1 || data.next_cursor) && html`<div class="buttons">
      ${cursors.length > 1 && html`<button type="button" data-test="newer" onClick=${() => setCursors(cursors.slice(0, -1))}>Newer</button>`}
      ${data.next_cursor && html`<button type="button" data-test="older" onClick=${() => setCursors([...cursors, data.next_cursor])}>Older</button>`}
    </div>`}`;
}

function Row({ job }) {
  const progress = job.progress || {};
  const running = job.state === "running";
  const over = progress.budget_usd > 0 ? progress.cost_usd / progress.budget_usd : 0;
  return html`<tr data-test="job-row" data-job=${job.id}>
    <td><a class="name" href=${href(["jobs", job.id])} data-test="job-link">${job.dataset}</a>
      <div class="note">${moment(job.created_at)}${" "}${job.rehearsal && html`<${Rehearsal} />`}</div></td>
    <td><${State} of=${job.state} /></td>
    <td class="progress"><${Bar} kind=${job.state === "paused" ? "paused" : ""} done=${progress.done || 0}
        whole=${progress.target || 0} label=${`${job.dataset}: questions that are ready`} test="job-progress" />
      <span class="note">${count(progress.done)} of ${count(progress.target)}${progress.target ? ` · ${percentDone(progress.done, progress.target)}` : ""}</span>
      ${job.reason && html`<div class="note reason" data-test="job-reason">${job.reason}</div>`}</td>
    <td class=${`number inline ${running ? "" : "none"}`} data-label="A minute">${running ? count(progress.per_minute) : "–"}</td>
    <td class=${`number inline nowrap ${running ? "" : "none"}`} data-label="Time left">${running ? duration(progress.eta_seconds) : "–"}</td>
    <td class="number inline nowrap" data-label="Cost">${money(progress.cost_usd)} <span class="quiet">of ${money(progress.budget_usd)}</span>
      <${Bar} kind=${over > 0.9 ? "paused" : ""} done=${progress.cost_usd || 0} whole=${progress.budget_usd || 0} /></td></tr>`;
}

const readJobs = (cursor, signal) => ask(withQuery("/v1/jobs", { summary: true, limit: PAGE, cursor }), { signal });
