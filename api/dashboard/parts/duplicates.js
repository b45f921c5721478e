// Would a text be admitted? And which questions of the whole dataset are near-duplicates of each other.
import { html, useState } from "../lib/ui.js";
import { Problem, noteStatus, post, segment } from "../lib/api.js";
import { href } from "../lib/route.js";
import { count, plural } from "../lib/format.js";
import { Refused } from "./refused.js";
import { Bar, Panel } from "./small.js";

const CLUSTERS = 50;
const DUPLICATES = ["exact", "near"];

export function Duplicates({ name, jobs }) {
  const newest = jobs[0];
  return html`<${Panel} title="Duplicates" wide="w12" test="panel-duplicates"><div class="grid">
    <div class="w5 stack"><${Check} name=${name} /><div><${Near} name=${name} /></div></div>
    <div class="w7"><h3>Refused by the newest job, and what they repeat</h3>
      ${newest ? html`<div style=${{ marginTop: "8px" }}><${Refused} jobId=${newest.id} dataset=${name} reasons=${DUPLICATES} /></div>` : html`<p class="quiet">No job has run on it.</p>`}</div></div><//>`;
}

function Check({ name }) {
  const [text, setText] = useState("");
  const [state, setState] = useState({ busy: false, found: null, problem: null });
  const run = async (event) => {
    event.preventDefault();
    setState({ busy: true, found: null, problem: null });
    try {
      const [found] = await post(`/v1/datasets/${segment(name)}/duplicates`, { texts: [text] });
      setState({ busy: false, found, problem: null });
    } catch (problem) {
      setState({ busy: false, found: null, problem });
    }
  };
  const { found } = state;
  return html`<form onSubmit=${run}><div class="field"><label for="check-text" class="as-h3">Would this question be admitted?</label>
      <textarea id="check-text" rows="3" value=${text} data-test="check-text" onInput=${(event) => setText(event.target.value)}></textarea></div>
    <div class="buttons"><button type="submit" disabled=${state.busy || !text.trim()} data-test="check">Compare</button>
      <span role="status" data-test="check-result">${found && (found.verdict === "new" ? html`<span class="good">New: nothing here is like it.</span>`
        : html`<span class="bad">${found.verdict === "exact" ? "It is there already" : `Near: similarity ${found.similarity}`}${found.question_id && html`: <a href=${href(["datasets", name, "questions", found.question_id])}>question ${found.question_id}</a>`}</span>`)}
        ${found?.verdict === "new" && found.guard && html` <span class="note">Similar to one, told apart by its ${found.guard}.</span>`}
        ${state.problem && html`<span class="problem">${state.problem.message}</span>`}</span></div></form>`;
}

function Near({ name }) {
  const [state, setState] = useState({ busy: false, progress: null, report: null, clusters: [], problem: null });
  const run = async () => {
    setState({ busy: true, progress: null, report: null, clusters: [], problem: null });
    try {
      for await (const line of readLines(`/v1/datasets/${segment(name)}/near-duplicates?clusters=${CLUSTERS}`)) {
        if (line.progress) setState((before) => ({ ...before, progress: line.progress }));
        if (line.report) setState((before) => ({ ...before, report: line.report }));
        if (line.cluster) setState((before) => ({ ...before, clusters: [...before.clusters, line.cluster] }));
      }
      setState((before) => ({ ...before, busy: false }));
    } catch (problem) {
      setState((before) => ({ ...before, busy: false, problem }));
    }
  };
  const { busy, progress, report, clusters, problem } = state;
  return html`<h3>Near-duplicates of the whole dataset, baseline included</h3>
    <div class="buttons"><button type="button" onClick=${run} disabled=${busy} data-test="near">${busy ? "Looking" : "Look for them"}</button>
      ${busy && progress && html`<span class="note">${progress.phase} ${count(progress.done)} of ${count(progress.total)}</span><${Bar} done=${progress.done} whole=${progress.total} />`}
      ${problem && html`<span class="problem" role="alert">${problem.message}</span>`}</div>
    ${report && html`<p role="status" data-test="near-report" style=${{ marginTop: "8px" }}>${plural(report.clusters, "cluster")} with ${plural(report.in_clusters, "question")} of ${count(report.questions)}; ${plural(report.pairs.compared, "pair")} compared${
      Object.keys(report.told_apart).length > 0 ? `; told apart by ${Object.entries(report.told_apart).map(([guard, n]) => `${guard} (${count(n)})`).join(", ")}` : ""}.</p>`}
    <ol>${clusters.map((cluster, i) => html`<li key=${i} style=${{ marginTop: "12px" }} data-test="near-cluster"><h3>${plural(cluster.size, "question")}</h3>
      <ul class="questions">${cluster.members.map((member) => html`<li key=${member.id}><a class="text" href=${href(["datasets", name, "questions", member.id])}>${member.text}</a>
        <div class="meta"><span>${member.domain} / ${member.difficulty}</span><span>${member.state}</span><span>similarity ${member.similarity}</span></div></li>`)}</ul></li>`)}</ol>`;
}

// JSON lines as they stream in. An answer that breaks off is a problem.
async function* readLines(path) {
  const response = await fetch(path).catch(() => {
    throw new Problem(0, { detail: "The API cannot be reached." });
  });
  noteStatus(response.status);
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const lines = text.split("\n");
    text = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
}
