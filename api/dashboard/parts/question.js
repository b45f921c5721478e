// All that is known of one question, beside the list it was found in.
import { html, useEffect, useRef, useState } from "../lib/ui.js";
import { ask, post } from "../lib/api.js";
import { usePoll } from "../lib/poll.js";
import { href } from "../lib/route.js";
import { clock, count, money, moment, plural, words } from "../lib/format.js";
import { Allowed } from "./allowed.js";
import { Message, Rehearsal, State } from "./small.js";

export function QuestionPanel({ id, close, onChange }) {
  const found = usePoll((signal) => ask(`/v1/questions/${encodeURIComponent(id)}`, { signal }), null, id);
  const panel = useRef(null);
  useEffect(() => {
    panel.current?.focus({ preventScroll: true });
    const escape = (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) location.hash = close;
    };
    document.addEventListener("keydown", escape);
    return () => {
      document.removeEventListener("keydown", escape);
      setTimeout(() => (document.getElementById(`question-${id}`) ?? document.querySelector("main")).focus({ preventScroll: true }));
    };
  }, [id, close]);
  const question = found.data;
  return html`<aside class="panel side" ref=${panel} tabindex="-1" aria-label=${`Question ${id}`} data-test="question" data-question=${id}>
    <header><h2>Question ${id}</h2><a class="button plain" href=${close} data-test="question-close">Close</a></header>
    ${!question && !found.problem && html`<p class="quiet">Reading the question</p>`}
    ${found.problem && html`<${Message} test="question-problem">${found.problem.message}<//>`}
    ${question && html`<${Body} question=${question} onChange=${() => { found.again(); onChange(); }} />`}</aside>`;
}

function Body({ question, onChange }) {
  return html`
    <p class="full-text" data-test="question-text">${question.question}</p>
    <div class="buttons"><${State} of=${question.state} test="question-state" />${question.rehearsal && html`<${Rehearsal} />`}<${Allowed} scope="submit" what="Taking it out"><${ByHand} question=${question} onChange=${onChange} /><//></div>
    ${question.reason && html`<p class="problem">${question.reason}</p>`}
    <section><h2>What it is</h2><dl class="facts">
      <dt>Cell</dt><dd>${question.domain} / ${question.difficulty}</dd>
      <dt>Topics</dt><dd>${(question.tags || []).join(", ") || "–"}</dd>
      <dt>Tokens</dt><dd>${count(question.prompt_tokens)}, answer ${count(question.completion_tokens)} <span class="quiet">(${question.tokenizer})</span></dd>
      <dt>From</dt><dd>${question.source === "baseline" ? "an imported file" : html`<a href=${href(["jobs", question.source])}>its job</a>`}, ${moment(question.created_at)}</dd>
      ${question.metadata && html`<dt>Metadata</dt><dd><code>${JSON.stringify(question.metadata)}</code></dd>`}</dl></section>
    <${Answers} answers=${question.answers} />
    <${Verdicts} verdicts=${question.verdicts} />
    ${question.call ? html`<${Call} call=${question.call} />` : question.source !== "baseline" && html`<section><p class="quiet">Its job's ledger is archived: the call is not kept.</p></section>`}`;
}

function ByHand({ question, onChange }) {
  const [state, setState] = useState({ busy: false, problem: null });
  const out = question.state === "discarded" || question.state === "rejected";
  const run = async () => {
    setState({ busy: true, problem: null });
    try {
      await post(`/v1/questions/${question.id}/${out ? "restore" : "discard"}`);
      setState({ busy: false, problem: null });
      onChange();
    } catch (problem) {
      setState({ busy: false, problem });
    }
  };
  return html`<button type="button" class=${out ? "" : "danger"} disabled=${state.busy} onClick=${run} data-test=${out ? "restore" : "discard"}>${out ? "Restore" : "Discard"}</button>
    ${state.problem && html`<span class="problem" role="alert">${state.problem.message}</span>`}`;
}

const Answers = ({ answers }) => answers.length > 0 && html`<section data-test="answers"><h2>${plural(answers.length, "answer")}</h2>
  ${answers.map((each, i) => html`<div key=${i} data-test="answer"><p class="full-text">${each.text}</p>
    <p class="note">${each.model}${answers.length > 1 ? `, sample ${each.sample}` : ""} · ${count(each.tokens)} tokens · ${each.prompt_version} · ${ofCall(each)}
      ${each.checked && html` · <span class="good">checked: ${Object.entries(each.checked).map(([name, value]) => `${words(name)} ${value}`).join(", ")}</span>`}</p></div>`)}</section>`;

const Verdicts = ({ verdicts }) => verdicts.length > 0 && html`<section data-test="verdicts"><h2>${plural(verdicts.length, "verdict")}</h2>
  ${verdicts.map((each) => html`<div key=${each.vote} data-test="verdict" style=${{ marginBottom: "8px" }}>
    <p><span class=${`state ${each.accepted ? "selected" : "rejected"}`}>${each.accepted ? "accepted" : "rejected"}</span>${each.reason && html`: ${each.reason}`}</p>
    <div class="bars" style=${{ margin: "4px 0" }}>${Object.entries(each.scores).map(([name, score]) => html`<span class="note">${words(name)}</span>
      <span class="bar" aria-hidden="true"><i class=${score < 3 ? "refused" : ""} style=${{ "--at": score * 20 }}></i></span><span class="note">${score} of 5</span>`)}</div>
    <p class="note">${each.model} · ${each.prompt_version} · ${ofCall(each)}</p></div>`)}</section>`;

const ofCall = (each) => (each.cost_usd === null ? "cost archived" : `${money(each.cost_usd)} for ${plural(each.call_questions, "question")}`);

function Call({ call }) {
  const { version, ...tuple } = call.prompt || {};
  return html`<section data-test="call"><h2>The call that brought it</h2><dl class="facts">
      <dt>Model</dt><dd>${call.model}</dd><dt>Prompt</dt><dd>${version}</dd>
      <dt>Brought</dt><dd>${count(call.admitted)} admitted of ${count(call.generated)}</dd>
      <dt>Outcome</dt><dd>${words(call.outcome || call.state)}${call.finish_reason ? `, finish ${call.finish_reason}` : ""}${call.detail ? `: ${call.detail}` : ""}</dd>
      <dt>Tokens</dt><dd>${count(call.input_tokens)} in, ${count(call.output_tokens)} out${call.reasoning_tokens ? `, ${count(call.reasoning_tokens)} of them reasoning` : ""}</dd>
      <dt>Cost</dt><dd data-test="call-cost">${money(call.cost_usd)}</dd>
      <dt>Sent</dt><dd>${moment(call.sent_at)}, settled ${clock(call.settled_at)}</dd>
      <dt>Request</dt><dd class="mono">${call.request_id || "–"}</dd></dl></section>
    <section data-test="prompt"><h2>Prompt tuple</h2><dl class="facts">${Object.entries(tuple).map(([name, value]) => html`<dt key=${name}>${words(name)}</dt>
      <dd>${Array.isArray(value) ? (value.length ? value.map((each, i) => html`<div key=${i}>${String(each)}</div>`) : "–") : typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "–")}</dd>`)}</dl></section>
    <section data-test="raw"><h2>Raw reply</h2>${call.raw === null ? html`<p class="quiet">${call.raw_pruned_at ? `Pruned ${moment(call.raw_pruned_at)}.` : "None is kept."}</p>` : html`<pre tabindex="0" aria-label="Raw reply">${indented(call.raw)}</pre>`}</section>`;
}

// Only the space between the parts of its JSON changes.
function indented(raw) {
  try {
    return JSON.stringify(JSON.parse(raw), null, 2);
  } catch {
    return raw;
  }
}
