// What a job would be: counts, tokens, money, time, warnings.
import { html } from "../lib/ui.js";
import { count, duration, money, percent } from "../lib/format.js";

export function PlanPanel({ planned, started, unplaced, rehearsal }) {
  const { plan, problem, busy } = planned;
  return html`<section class=${`panel ${busy && plan ? "plan-wait" : ""}`} data-test="plan" aria-label="Plan and forecast" aria-live="polite" aria-busy=${busy}>
    <header><h2>Plan and forecast</h2>${rehearsal && html`<span class="note">simulated prices</span>`}</header>
    ${!started && html`<p class="quiet">Name a dataset and its domains; the plan appears as you type.</p>`}
    ${started && !plan && !problem && html`<p class="quiet">Planning</p>`}
    ${problem && html`<p class="problem" data-test="plan-problem">${problem.errors.length ? "There is no plan yet: see the marked fields." : problem.message}</p>`}
    ${unplaced.map((each) => html`<p class="problem" key=${each.loc} data-test="unplaced-problem">${each.loc}: ${each.msg}</p>`)}
    ${plan && html`<${Plan} plan=${plan} />`}</section>`;
}

function Plan({ plan }) {
  const { totals, forecast } = plan;
  const difficulties = Object.keys(totals.by_difficulty);
  const domains = [...new Set(plan.cells.map((cell) => cell.domain))];
  const at = new Map(plan.cells.map((cell) => [`${cell.domain}/${cell.difficulty}`, cell]));
  return html`
    <dl class="facts" data-test="forecast">
      <dt>Questions</dt><dd data-test="plan-questions"><b>${count(totals.questions)}</b>${totals.generate !== totals.questions && html`, ${count(totals.generate)} to make`}</dd>
      <dt>Cost</dt><dd data-test="plan-cost"><b>${money(forecast.cost_usd)}</b></dd>
      <dt>Time</dt><dd>${duration(forecast.seconds)}</dd>
      <dt>Calls</dt><dd>${count(forecast.calls)}</dd>
      <dt>Tokens in, out</dt><dd>${count(forecast.input_tokens)}, ${count(forecast.output_tokens)}</dd></dl>
    ${plan.warnings.map((warning) => html`<p class="message wait" key=${warning} style=${{ margin: "12px 0 0" }} data-test="plan-warning">${warning}</p>`)}
    <div class="scroll" style=${{ marginTop: "12px" }} tabindex="0" role="group" aria-label="Planned cells"><table data-test="plan-cells">
      <thead><tr><th scope="col">Target</th>${difficulties.map((name) => html`<th scope="col" class="number" key=${name}><span class="fold">${name}</span></th>`)}</tr></thead>
      <tbody>${domains.map((domain) => html`<tr key=${domain}><th scope="row"><span class="fold">${domain}</span></th>
        ${difficulties.map((name) => html`<td class="number" key=${name}><${Target} cell=${at.get(`${domain}/${name}`)} /></td>`)}</tr>`)}</tbody>
      <tfoot><tr><th scope="row">all</th>${difficulties.map((name) => html`<td class="number" key=${name}>${count(totals.by_difficulty[name])}</td>`)}</tr>
        <tr><th scope="row">tokens</th>${difficulties.map((name) => html`<td class="number" key=${name}>${percent(totals.token_shares[name], 2)}</td>`)}</tr></tfoot></table></div>
    ${forecast.stages?.length > 1 && html`<table style=${{ marginTop: "12px" }}><thead><tr><th scope="col">Stage</th><th scope="col" class="number">Calls</th><th scope="col" class="number">Cost</th></tr></thead>
      <tbody>${forecast.stages.map((stage) => html`<tr key=${stage.stage}><th scope="row">${stage.stage}</th><td class="number">${count(stage.calls)}</td><td class="number">${money(stage.cost_usd)}</td></tr>`)}</tbody></table>`}`;
}

const Target = ({ cell }) => cell && html`${count(cell.target)}${cell.have > 0 && html`<br /><span class="note">${count(cell.have)} there</span>`}`;
