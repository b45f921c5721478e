// The buttons of a job: pause, resume, cancel, budget.
import { html, useState } from "../lib/ui.js";
import { Problem, post } from "../lib/api.js";
import { money } from "../lib/format.js";
import { may } from "../lib/session.js";
import { Allowed } from "./allowed.js";
import { Dialog } from "./dialog.js";
import { isUnfinished } from "../lib/use_job.js";

export function Steering({ job, onChange }) {
  const [asking, setAsking] = useState(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const steer = async (action, body) => onChange(await post(`/v1/jobs/${job.id}/${action}`, body));
  const press = async (action) => {
    setBusy(true);
    setProblem(null);
    try {
      await steer(action);
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  if (!isUnfinished(job)) return null;
  if (!may("submit")) return html`<div class="actions"><${Allowed} scope="submit" what="Steering it" /></div>`;
  const close = () => setAsking(null);
  return html`<div class="actions">
    ${problem && html`<span class="problem" role="alert" data-test="steer-problem">${problem.message}</span>`}
    ${job.state === "running" && html`<button type="button" data-test="pause" disabled=${busy} onClick=${() => press("pause")}>Pause</button>`}
    ${job.state === "paused" && html`<button type="button" class="primary" data-test="resume" disabled=${busy} onClick=${() => press("resume")}>Resume</button>`}
    <button type="button" data-test="budget" onClick=${() => setAsking("budget")}>Budget</button>
    <button type="button" class="danger" data-test="cancel" onClick=${() => setAsking("cancel")}>Cancel</button>
    ${asking === "cancel" && html`<${Dialog} title=${`Cancel the job on ${job.dataset}?`} confirm="Cancel the job" danger=${true}
        test="cancel-dialog" onConfirm=${() => steer("cancel")} onClose=${close}>
      <p>It ends for good. What was admitted stays in the dataset and can be exported; a new job goes on from there.</p><//>`}
    ${asking === "budget" && html`<${BudgetDialog} job=${job} steer=${steer} onClose=${close} />`}
  </div>`;
}

function BudgetDialog({ job, steer, onClose }) {
  const { cost_usd: spent, held_usd: held, stages = [] } = job.progress;
  const left = stages.reduce((sum, stage) => sum + Number(stage.left.cost_usd), 0);
  const needed = (Math.ceil((spent + left) * 1.1 * 100) / 100).toFixed(2);
  const [budget, setBudget] = useState(Number(needed) > job.budget_usd ? needed : job.budget_usd.toFixed(2));
  const [resume, setResume] = useState(job.state === "paused");
  const paused = job.state === "paused";
  const save = async () => {
    if (!(Number(budget) >= 0) || String(budget).trim() === "") throw new Problem(0, { detail: "Write an amount in US dollars, like 25.00." });
    const body = { budget_usd: String(budget).trim() };
    await (paused && resume ? steer("resume", body) : steer("budget", body));
  };
  return html`<${Dialog} title="Budget" confirm=${paused && resume ? "Set and resume" : "Set the budget"} test="budget-dialog"
      onConfirm=${save} onClose=${onClose}>
    <dl class="facts">
      <dt>Now</dt><dd>${money(job.budget_usd)}</dd>
      <dt>Spent, and held for calls under way</dt><dd>${money(spent)} and ${money(held)}</dd>
      <dt>Expected for what is left</dt><dd>${money(left)}</dd></dl>
    <label class="field" style=${{ display: "block", marginTop: "12px" }}><span>New budget in US dollars</span>
      <input inputmode="decimal" value=${budget} data-test="budget-input" onInput=${(event) => setBudget(event.target.value)} /></label>
    ${paused && html`<label class="check"><input type="checkbox" checked=${resume} data-test="budget-resume"
      onChange=${(event) => setResume(event.target.checked)} />and go on at once</label>`}<//>`;
}
