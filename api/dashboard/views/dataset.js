// One dataset: counts, browsing with filters, a question's provenance beside it.
import { html, useEffect, useRef, useState } from "../lib/ui.js";
import { ask, segment, withQuery } from "../lib/api.js";
import { usePoll } from "../lib/poll.js";
import { goInPlace, href } from "../lib/route.js";
import { count, plural } from "../lib/format.js";
import { Message, Panel, Stale, State } from "../parts/small.js";
import { Heat } from "../parts/heat.js";
import { ImportDrop } from "../parts/import_drop.js";
import { QuestionPanel } from "../parts/question.js";
import { Distributions } from "../parts/distributions.js";
import { Duplicates } from "../parts/duplicates.js";

const STATES = ["selected", "reserve", "rejected", "discarded"];
const PAGE = 20;
const PAUSE_MILLISECONDS = 300;

export function Dataset({ name, question, query }) {
  const path = `/v1/datasets/${segment(name)}`;
  const found = usePoll((signal) => ask(path, { signal }), 10, name);
  const [changed, setChanged] = useState(0);
  useEffect(() => {
    document.title = `${name} – Questmill`;
  }, [name]);
  const dataset = found.data;
  if (!dataset) {
    return html`<div class="head"><h1>${name}</h1></div>
      ${found.problem ? html`<${Message} test="dataset-problem">${found.problem.message} <a href="#/datasets">All datasets</a><//>` : html`<p class="quiet">Reading the dataset</p>`}`;
  }
  const again = () => {
    found.again();
    setChanged((n) => n + 1);
  };
  const leftOut = dataset.contamination.left_out;
  const open = dataset.jobs.find((job) => job.state === "running" || job.state === "paused");
  return html`
    <div class="head"><h1 data-test="dataset-name">${name}</h1>
      ${open && html`<a href=${href(["jobs", open.id])} data-test="to-job">its job is ${open.state}</a>`}
      <div class="actions">
        <a class="button" href=${`${path}/export?format=jsonl`} download data-test="export-jsonl">Export JSONL</a>
        <a class="button" href=${`${path}/export?format=parquet`} download data-test="export-parquet">Export Parquet</a>
        ${!open && html`<a class="button" href=${`#/new?dataset=${segment(name)}`} data-test="extend">New job on it</a>`}</div></div>
    <${Stale} problem=${found.problem} since=${found.since} />
    <dl class="readouts" data-test="dataset-counts">
      ${STATES.map((state) => html`<div key=${state}><dt>${state}</dt><dd data-test=${`count-${state}`}>${count(dataset.questions[state])}</dd></div>`)}
      <div><dt>Tokens of questions</dt><dd>${count(dataset.tokens.prompt)}</dd></div>
      <div><dt>of answers</dt><dd>${count(dataset.tokens.completion)}</dd></div></dl>
    ${leftOut > 0 && html`<p class="message wait" data-test="left-out">${count(leftOut)} of the selected ${leftOut === 1 ? "is" : "are"} left out of exports: contaminated</p>`}
    <div class=${question ? "split" : ""}>
      <${Browse} name=${name} query=${query} cells=${dataset.cells} current=${question} changed=${changed} />
      ${question && html`<${QuestionPanel} key=${question} id=${question} close=${href(["datasets", name], query)} onChange=${again} />`}</div>
    <div class="grid" style=${{ marginTop: "16px" }}>
      <${Panel} title="Cells" wide="w7" test="panel-cells" aside="a cell leads to its questions">
        ${dataset.cells.length ? html`<${Heat} cells=${dataset.cells} column="selected" dataset=${name} stages=${[]} />` : html`<p class="quiet">Empty.</p>`}<//>
      <${Distributions} name=${name} query=${query} />
      <${Duplicates} name=${name} jobs=${dataset.jobs} />
      <${Panel} title="Import" wide="w12" test="panel-import"><${ImportDrop} dataset=${name} onDone=${again} /><//></div>`;
}

function Browse({ name, query, cells, current, changed }) {
  const filters = { domain: query.domain, difficulty: query.difficulty, state: query.state, text: query.text };
  const { items, more, problem, busy, load } = useQuestions(name, filters, changed);
  const [typed, setTyped] = useState(query.text || "");
  const list = useRef(null);
  const covered = Boolean(current) && matchMedia("(max-width: 1000px)").matches;
  const set = (part) => goInPlace(["datasets", name, ...(current ? ["questions", current] : [])], { ...filters, ...part });
  useEffect(() => setTyped(query.text || ""), [query.text]);
  useEffect(() => {
    if (typed === (query.text || "")) return undefined;
    const timer = setTimeout(() => set({ text: typed }), PAUSE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [typed]);
  const choice = (label, key, values) => html`<select aria-label=${label} data-test=${`filter-${key}`} value=${query[key] || ""} onChange=${(event) => set({ [key]: event.target.value })}>
    <option value="">${label}: all</option>${values.map((value) => html`<option key=${value} value=${value} selected=${value === query[key]}>${value}</option>`)}</select>`;
  const unique = (key) => [...new Set([...cells.map((cell) => cell[key]), ...(query[key] ? [query[key]] : [])])];
  return html`<section class="panel" aria-label="Questions" data-test="panel-questions" inert=${covered}>
    <header><h2>Questions</h2><span class="note" role="status">${items ? `${plural(items.length, "question")} shown` : ""}</span></header>
    <div class="filters" role="search">
      <input type="search" placeholder="Part of a question" aria-label="Part of a question" value=${typed} data-test="filter-text" onInput=${(event) => setTyped(event.target.value)} />
      ${choice("Domain", "domain", unique("domain"))}${choice("Difficulty", "difficulty", unique("difficulty"))}${choice("State", "state", STATES)}</div>
    ${problem && html`<${Message} test="browse-problem">${problem.message}<//>`}
    ${items?.length === 0 && html`<p class="quiet" data-test="no-questions">${more ? "None so far: a part of the dataset has been searched." : "No question is like that."}</p>`}
    <ol class="questions" ref=${list} data-test="questions">${(items || []).map((each) => html`<li key=${each.id} data-test="question-row" data-question=${each.id}>
      <a class="text" id=${`question-${each.id}`} href=${href(["datasets", name, "questions", each.id], filters)} aria-current=${String(each.id) === current ? "true" : undefined} data-test="question-link">${each.question}</a>
      <div class="meta"><span>${each.domain} / ${each.difficulty}</span><${State} of=${each.state} /><span>${count(each.prompt_tokens)} tokens</span>
        ${each.answered && html`<span>answered, ${count(each.completion_tokens)} tokens</span>`}${each.rehearsal && html`<span class="wait">rehearsal</span>`}
        ${each.reason && html`<span class="bad">${each.reason}</span>`}</div></li>`)}</ol>
    ${more && html`<div class="buttons"><button type="button" data-test="more" disabled=${busy} onClick=${load}>${busy ? "Reading" : items?.length && items.length % PAGE === 0 ? "More" : "Search on"}</button></div>`}</section>`;
}

function useQuestions(name, filters, changed) {
  const about = JSON.stringify([name, filters, changed]);
  const [state, setState] = useState({ items: null, cursor: null, problem: null, busy: true });
  const now = useRef(about);
  const read = async (cursor) => {
    const mine = about;
    setState((before) => ({ ...before, busy: true }));
    try {
      const page = await ask(withQuery(`/v1/datasets/${segment(name)}/questions`, { ...filters, limit: PAGE, cursor }));
      if (now.current !== mine) return;
      setState((before) => ({ items: cursor ? [...before.items, ...page.items] : page.items, cursor: page.next_cursor, problem: null, busy: false }));
    } catch (problem) {
      if (now.current === mine) setState((before) => ({ ...before, problem, busy: false }));
    }
  };
  useEffect(() => {
    now.current = about;
    read(null);
  }, [about]);
  return { ...state, more: state.cursor !== null, load: () => read(state.cursor) };
}
