// A new job: the form on the left, what it would be on the right, as one types.
import { html, useEffect, useMemo, useRef, useState } from "../lib/ui.js";
import { ask } from "../lib/api.js";
import { go } from "../lib/route.js";
import { readSettings, useSettings } from "../lib/settings.js";
import { EMPTY, STAGES, foldName, formOf, ownErrors, specOf } from "../lib/spec_form.js";
import { Allowed } from "../parts/allowed.js";
import { Message } from "../parts/small.js";
import { Field, Rows } from "../parts/fields.js";
import { PlanPanel } from "../parts/plan.js";

const PAUSE_MILLISECONDS = 350;

export function NewJob({ query }) {
  const settings = useSettings();
  const [form, setForm] = useState({ ...EMPTY, dataset: query.dataset || "" });
  const [sent, setSent] = useState({ busy: false, problem: null });
  const spec = useMemo(() => specOf(form), [form]);
  const text = useMemo(() => JSON.stringify(spec, null, 2), [spec]);
  const own = ownErrors(form);
  const started = form.domains.some((each) => each.name.trim()) || (form.dataset.trim() !== "" && !form.stages.generate);
  const planned = usePlan(started ? text : null);
  const key = useRef({ text: null, key: null });
  useEffect(() => {
    document.title = "New job – Questmill";
  }, []);
  useEffect(() => {
    if (query.from) ask(`/v1/jobs/${encodeURIComponent(query.from)}`).then((job) => setForm(formOf(job.spec))).catch((problem) => setSent({ busy: false, problem }));
    if (query.preset === "seed") readSettings().then((found) => found?.presets?.seed && setForm(formOf(found.presets.seed)));
  }, [query.from, query.preset]);

  const errors = [...own, ...(planned.problem?.errors || []), ...(sent.problem?.errors || [])];
  const change = (part) => {
    setForm((before) => ({ ...before, ...(typeof part === "function" ? part(before) : part) }));
    setSent({ busy: false, problem: null });
  };
  const submit = async (event) => {
    event.preventDefault();
    if (own.length) return;
    setSent({ busy: true, problem: null });
    // The same spec sent again, after an answer that was lost, is the same job.
    if (key.current.text !== text) key.current = { text, key: newKey() };
    try {
      const job = await ask("/v1/jobs", { method: "POST", json: spec, headers: { "Idempotency-Key": key.current.key } });
      go(["jobs", job.id]);
    } catch (problem) {
      setSent({ busy: false, problem });
    }
  };
  return html`
    <div class="head"><h1>New job</h1><div class="actions">
      ${settings?.presets?.seed && html`<button type="button" data-test="seed-mix" onClick=${() => change(formOf(settings.presets.seed))}>The seed's mix</button>`}
      <button type="button" class="plain" data-test="clear-form" onClick=${() => change(EMPTY)}>Clear</button></div></div>
    <form class="form" onSubmit=${submit} data-test="job-form" novalidate>
      <div>
        <${What} form=${form} change=${change} errors=${errors} chosen=${planned.plan?.spec} />
        <${Mix} form=${form} change=${change} errors=${errors} />
        <${Work} form=${form} change=${change} errors=${errors} />
        <${Models} form=${form} change=${change} errors=${errors} planned=${planned.plan?.spec} />
      </div>
      <div class="beside">
        <${PlanPanel} planned=${planned} started=${started} unplaced=${unplaced(errors, form)} rehearsal=${settings?.rehearsal} />
        <section class="panel">
          ${sent.problem && sent.problem.errors.length === 0 && html`<${Message} test="submit-problem">${sent.problem.message}<//>`}
          <${Allowed} scope="submit" what="Starting it">
            <button type="submit" class="primary" data-test="submit" disabled=${sent.busy || !started}>${sent.busy ? "Starting" : "Start the job"}</button><//>
          ${settings?.rehearsal && html`<p class="note" style=${{ marginTop: "8px" }}>This server rehearses: the models are simulated and nothing is paid.</p>`}
          <${SpecText} text=${text} /></section>
      </div></form>`;
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// -> {plan, problem, busy}: the last plan stays while the next one is made.
function usePlan(text) {
  const [state, setState] = useState({ plan: null, problem: null, busy: false });
  useEffect(() => {
    if (text === null) {
      setState({ plan: null, problem: null, busy: false });
      return undefined;
    }
    const controller = new AbortController();
    setState((before) => ({ ...before, busy: true }));
    const timer = setTimeout(async () => {
      try {
        const plan = await ask("/v1/plans", { method: "POST", json: JSON.parse(text), signal: controller.signal });
        setState({ plan, problem: null, busy: false });
      } catch (problem) {
        if (problem.name !== "AbortError") setState({ plan: null, problem, busy: false });
      }
    }, PAUSE_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [text]);
  return state;
}

// What is left out is chosen by the server: the plan says what it chose.
function What({ form, change, errors, chosen }) {
  return html`<fieldset class="panel"><div class="fields">
    <${Field} label="Dataset" loc="dataset" errors=${errors} value=${form.dataset} onValue=${(dataset) => change({ dataset })} hint="a-z, 0-9, . _ -" />
    <${Field} label="Budget in US dollars" loc="budget_usd" errors=${errors} value=${form.budget} onValue=${(budget) => change({ budget })}
      hint=${chosen?.budget_usd ? `${chosen.budget_usd}, chosen for you` : "chosen for you"} mode="decimal" />
    <${Field} label="Seed" loc="seed" errors=${errors} value=${form.seed} onValue=${(seed) => change({ seed })} hint="2025" mode="numeric" /></div></fieldset>`;
}

function Mix({ form, change, errors }) {
  const total = form.domains.reduce((sum, each) => sum + (Number(each.total) || 0), 0);
  const shares = form.difficulties.reduce((sum, each) => sum + (Number(each.share) || 0), 0);
  return html`
    <fieldset class="panel" data-test="domains"><${Legend} title="Domains" aside=${`${total.toLocaleString("en-US")} questions`} />
      <${Rows} kind="domain" rows=${form.domains} onRows=${(update) => change((before) => ({ domains: update(before.domains) }))} errors=${errors} loc="mix.domains" fresh=${{ name: "", total: "" }}
        columns=${[["name", "Domain"], ["total", "Questions", "numeric"]]} add="Add a domain" /></fieldset>
    <fieldset class="panel" data-test="difficulties"><${Legend} title="Difficulties" aside=${`shares: ${Number(shares.toFixed(6))} %`} />
      <${Rows} kind="difficulty" rows=${form.difficulties} onRows=${(update) => change((before) => ({ difficulties: update(before.difficulties) }))} errors=${errors} loc="mix.difficulties"
        fresh=${{ name: "", share: "", mean: "", answer: "" }} add="Add a difficulty"
        columns=${[["name", "Difficulty"], ["share", "% of tokens", "decimal", "token_share"], ["mean", "Mean tokens", "decimal", "mean_tokens"],
          ["answer", "Answer tokens", "decimal", "answer_tokens", "–"]]} />
      <div class="fields" style=${{ marginTop: "12px" }}>
        <${Field} label="Tokens that are balanced" loc="mix.measure" errors=${errors} value=${form.measure} onValue=${(measure) => change({ measure })}
          options=${[["prompt", "of the questions"], ["completion", "of the answers"], ["total", "of both"]]} />
        <${Field} label="Means" loc="mix.means" errors=${errors} value=${form.means} onValue=${(means) => change({ means })}
          options=${[["fixed", "as they are above"], ["measured", "measured, and planned again"]]} /></div></fieldset>`;
}

const Legend = ({ title, aside }) => html`<header style=${{ display: "flex", justifyContent: "space-between", marginBottom: "12px" }}>
  <h2>${title}</h2>${aside && html`<span class="note">${aside}</span>`}</header>`;

function Work({ form, change, errors }) {
  const stages = (stage) => (event) => change({ stages: { ...form.stages, [stage]: event.target.checked } });
  return html`<fieldset class="panel" data-test="stages-choice"><${Legend} title="Stages" />
    <div class="fields">${STAGES.map((stage) => html`<div key=${stage}>
      <label class="check"><input type="checkbox" data-test=${`stage-${stage}`} checked=${form.stages[stage]} onChange=${stages(stage)} />${stage}</label>
      ${form.stages[stage] && html`<${Field} label=${`How ${stage} calls are sent`} loc=${`mode.${stage}`} errors=${errors} value=${form.mode[stage] || "live"}
        onValue=${(mode) => change({ mode: { ...form.mode, [stage]: mode } })} options=${[["live", "live"], ["bulk", "bulk: half price, within a day"]]} />`}</div>`)}</div>
    <div class="fields" style=${{ marginTop: "12px" }}>
      ${form.stages.validate && html`<${Field} label="Votes for each question" loc="judging.votes" errors=${errors} value=${form.votes} onValue=${(votes) => change({ votes })} hint="1" mode="numeric" />
        <${Field} label="Lowest score that passes" loc="judging.least" errors=${errors} value=${form.least} onValue=${(least) => change({ least })} hint="3 of 5" mode="numeric" />`}
      ${form.stages.answer && html`<${Field} label="Answers of each model" loc="answering.samples" errors=${errors} value=${form.samples} onValue=${(samples) => change({ samples })} hint="1" mode="numeric" />`}</div>
    ${at(errors, "stages").map((msg) => html`<p class="problem">${msg}</p>`)}</fieldset>`;
}

function Models({ form, change, errors, planned }) {
  const difficulties = form.difficulties.map((each) => foldName(each.name)).filter(Boolean);
  const chosen = STAGES.filter((stage) => form.stages[stage]);
  const set = (stage, difficulty) => (value) => change({ models: { ...form.models, [stage]: { ...form.models[stage], [difficulty]: value } } });
  if (!chosen.length || !difficulties.length) return null;
  return html`<fieldset class="panel" data-test="models"><${Legend} title="Models" aside="empty: chosen for you; several to validate or answer, with commas" />
    <div class="fields" style=${{ gridTemplateColumns: "repeat(auto-fill, minmax(220px, 1fr))" }}>
      ${chosen.flatMap((stage) => difficulties.map((difficulty) => html`<${Field} key=${`${stage}/${difficulty}`} label=${`${stage}: ${difficulty}`}
        loc=${`models.${stage}.${difficulty}`} errors=${errors} value=${form.models[stage]?.[difficulty] || ""} onValue=${set(stage, difficulty)} hint=${[planned?.models?.[stage]?.[difficulty] ?? "provider/model"].flat().join(", ")} />`))}</div>
    ${at(errors, "models").map((msg) => html`<p class="problem">${msg}</p>`)}</fieldset>`;
}

const at = (errors, loc) => errors.filter((each) => each.loc === loc).map((each) => each.msg);

// What no field of the form shows.
function unplaced(errors, form) {
  const rows = (loc, list) => [loc, ...list.map((row) => `${loc}.${foldName(row.name)}`)];
  const places = ["dataset", "budget_usd", "seed", "mix.measure", "mix.means", "stages", "judging.votes", "judging.least", "answering.samples", "models",
    ...rows("mix.domains", form.domains), ...rows("mix.difficulties", form.difficulties)];
  const within = ["mode.", "models."];
  return errors.filter((each) => !places.includes(each.loc) && !within.some((start) => each.loc.startsWith(start))
    && !places.some((place) => place.split(".").length > 2 && each.loc.startsWith(`${place}.`)));
}

function SpecText({ text }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => setCopied(false), [text]);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
  };
  return html`<details style=${{ marginTop: "12px" }} data-test="spec-json"><summary>The spec, as JSON</summary>
    <textarea class="json" readonly aria-label="The spec, as JSON" data-test="spec-text" value=${text}></textarea>
    <div class="buttons"><button type="button" data-test="copy-spec" onClick=${copy}>${copied ? "Copied" : "Copy"}</button>
      <span class="note">for <code>./run questmill submit FILE</code></span></div></details>`;
}
