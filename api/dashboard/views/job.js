// One job, live.
import { html, useEffect, useMemo, useState } from "../lib/ui.js";
import { ask } from "../lib/api.js";
import { usePoll } from "../lib/poll.js";
import { isUnfinished, lastColumn, useJob } from "../lib/use_job.js";
import { href } from "../lib/route.js";
import { clock, count, duration, moment, money, percent, percentDone, words } from "../lib/format.js";
import { Bar, Message, Panel, Rehearsal, State } from "../parts/small.js";
import { Heat } from "../parts/heat.js";
import { TokenGauges } from "../parts/gauge.js";
import { Steering } from "../parts/steering.js";
import { SeriesPanels } from "../parts/series.js";
import { Stages } from "../parts/stages.js";
import { Refused } from "../parts/refused.js";
import { Counts } from "../parts/counts.js";
import { Limits, LiveBatches, NewestQuestions } from "../parts/now.js";

export function Job({ id }) {
  const { job, problem, link, replace } = useJob(id);
  useEffect(() => {
    document.title = job ? `${job.dataset}: ${percentDone(job.progress[lastColumn(job)], job.progress.target)} ${job.state} – Questmill` : "Job – Questmill";
  }, [job]);
  if (!job) {
    return html`<div class="head"><h1>Job</h1></div>
      ${problem ? html`<${Message} test="job-problem">${problem.message} <a href="#/">All jobs</a><//>` : html`<p class="quiet">Reading the job</p>`}`;
  }
  return html`
    <div class="head"><h1 data-test="job-name">${job.dataset}</h1><${State} of=${job.state} test="job-state" />
      ${job.rehearsal && html`<${Rehearsal} />`}
      <a class="note" href=${href(["datasets", job.dataset])} data-test="to-dataset">Browse its questions</a>
      <${Steering} job=${job} onChange=${replace} /></div>
    <${Link} link=${link} job=${job} />
    ${job.reason && html`<${Message} kind=${job.state === "failed" ? "bad" : "wait"} test="job-reason">${job.reason}<//>`}
    ${job.archived_at && html`<${Message} kind="wait">The ledger was archived at ${moment(job.archived_at)}; this is the last progress that was counted.<//>`}
    <${Readouts} job=${job} />
    <${Panels} job=${job} />`;
}

function Link({ link, job }) {
  if (!link || link.state === "ended") {
    return html`<p class="link" data-test="link" data-state="ended">${job.finished_at
      ? `Ended ${moment(job.finished_at)}, begun ${moment(job.created_at)}.` : ""}</p>`;
  }
  const said = {
    live: "Live",
    connecting: "Connecting",
    hidden: "Not followed while the tab is hidden",
    lost: `The connection dropped. What you see is of ${clock(link.since)}; trying again.`,
  }[link.state];
  return html`<p class=${`link ${link.state}`} role=${link.state === "lost" ? "alert" : "status"} data-test="link" data-state=${link.state}>
    ${link.state === "live" ? html`<${State} of="live" test="live" />` : said}</p>`;
}

function Readouts({ job }) {
  const { progress } = job;
  const column = lastColumn(job);
  const running = job.state === "running";
  const items = [
    ["questions", column === "selected" ? "Questions" : `Questions ${column}`, html`${count(progress[column])} <small>of ${count(progress.target)}</small>`],
    ["rate", "A minute", running ? count(progress.per_minute) : "–"],
    running ? ["eta", "Time left", duration(progress.eta_seconds)]
      : ["took", job.finished_at ? "Took" : "Begun", job.finished_at ? duration((new Date(job.finished_at) - new Date(job.created_at)) / 1000) : moment(job.created_at)],
    ["cost", "Cost of budget", html`${money(progress.cost_usd)} <small>of ${money(job.budget_usd)}</small>`],
    ["yield", "Yield", percent(progress.yield)],
    ["calls", "Calls", html`${count(progress.calls.sent)} <small>${count(progress.calls.in_flight)} under way</small>`],
  ];
  return html`<dl class="readouts" data-test="readouts">
    ${items.map(([name, label, value]) => html`<div key=${name}><dt>${label}</dt><dd data-test=${`readout-${name}`}>${value}</dd></div>`)}
    <div class="whole"><dt class="hidden-label">Progress</dt><dd><${Bar} kind=${`tall ${job.state === "paused" ? "paused" : ""}`} done=${progress[column]} beneath=${progress.selected}
      whole=${progress.target} label="Questions that are ready" test="progress" /></dd></div></dl>`;
}

function Panels({ job }) {
  const { progress } = job;
  const stages = progress.stages.map((stage) => stage.stage);
  const column = lastColumn(job);
  const seconds = isUnfinished(job) ? 3 : null;
  const seriesEvery = isUnfinished(job) ? 5 : null;
  const series = usePoll((signal) => ask(`/v1/jobs/${job.id}/series?points=60`, { signal }), seriesEvery, `${job.id} ${job.state}`);
  const live = usePoll((signal) => ask(`/v1/jobs/${job.id}/live`, { signal }), seconds, `${job.id} ${job.state}`);
  const limits = usePoll((signal) => ask("/v1/limits", { signal }), seconds, `limits ${job.state}`);
  const models = useMemo(() => new Set(Object.values(job.spec.models || {}).flatMap((by) => Object.values(by).flat())), [job.spec]);
  return html`<div class="grid">
    <${Panel} title=${column === "selected" ? "Cells" : `Cells: ${column} of target`} wide="w7" test="panel-cells" aside=${html`<span class="legend"><span>${stages.length > 1 ? "work of all stages: " : ""}none<span class="ramp"></span>all done</span></span>`}>
      <${Heat} cells=${progress.cells} column=${column} dataset=${job.dataset} stages=${stages} /><//>
    <div class="w5 stack">
    <${Panel} title="Token balance" wide="" test="panel-balance" aside=${`balanced: ${job.spec.mix?.measure || "prompt"}, means ${job.spec.mix?.means || "fixed"}${job.plan_version > 1 ? `, plan ${job.plan_version}` : ""}`}>
      <${TokenGauges} shares=${progress.token_shares} measure=${job.spec.mix?.measure || "prompt"} /><//>
    <${Panel} title="Refused, by reason" wide="" test="panel-rejected" aside=${`${count(sum(progress.rejected))} of ${count(progress.generated)} candidates`}>
      <${Counts} counts=${progress.rejected} kind="refused" none="Nothing was refused." /><//></div>
    <${SeriesPanels} series=${series.data} job=${job} />
    <${Stages} job=${job} />
    <${Panel} title="Repaired replies" wide="w6" test="panel-repaired">
      <${Counts} counts=${progress.repaired} kind="" none="No reply needed repair." /><//>
    <${Panel} title="Calls, by outcome" wide="w6" test="panel-outcomes" aside=${`${count(progress.calls.retried)} asked again`}>
      <${Counts} counts=${progress.calls.outcomes || {}} kind="" none="No call yet." />
      ${sum(progress.incidents) > 0 && html`<p class="note">${Object.entries(progress.incidents).map(([name, n]) => `${words(name)}: ${count(n)}`).join(", ")}</p>`}<//>
    <${Limits} found=${limits.data} models=${models} />
    <${LiveBatches} live=${live.data} job=${job} />
    <${NewestQuestions} live=${live.data} job=${job} />
    ${!job.archived_at && html`<${Panel} title="What was refused, and why" wide="w12" test="panel-refused">
      <${Refused} jobId=${job.id} dataset=${job.dataset} reasons=${Object.keys(progress.rejected)} /><//>`}
    <${SpecPanel} job=${job} /></div>`;
}

function SpecPanel({ job }) {
  const [copied, setCopied] = useState(false);
  const text = JSON.stringify(job.spec, null, 2);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
  };
  return html`<section class="panel w12" data-test="panel-spec"><details><summary>The spec, as JSON</summary>
    <div class="buttons"><button type="button" data-test="copy-spec" onClick=${copy}>${copied ? "Copied" : "Copy"}</button>
      <a class="button" href=${`#/new?from=${job.id}`} data-test="again">Make another like it</a></div>
    <pre tabindex="0" style=${{ marginTop: "12px" }}>${text}</pre></details></section>`;
}

const sum = (counts) => Object.values(counts || {}).reduce((all, n) => all + n, 0);
