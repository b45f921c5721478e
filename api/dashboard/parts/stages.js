// The stages of a job with their money: forecast, actual, left.
import { html } from "../lib/ui.js";
import { count, money } from "../lib/format.js";
import { Panel } from "./small.js";

export function Stages({ job }) {
  const { stages, cost_usd: cost, held_usd: held } = job.progress;
  const total = (name) => stages.reduce((sum, stage) => sum + Number(stage[name]?.cost_usd ?? 0), 0);
  const known = stages.every((stage) => stage.forecast);
  return html`<${Panel} title="Stages and money" wide="w12" test="panel-stages" aside=${`${money(held)} held for calls under way or in bulk`}>
    <div class="scroll" tabindex="0" role="group" aria-label="Stages and money"><table data-test="stages">
      <thead><tr><th scope="col">Stage</th><th scope="col" class="number">Dealt with</th><th scope="col" class="number">Passed</th>
        <th scope="col" class="number">Left to do</th><th scope="col" class="number">Calls</th><th scope="col" class="number">Tokens in</th>
        <th scope="col" class="number">Tokens out</th><th scope="col" class="number">Forecast</th><th scope="col" class="number">Actual</th>
        <th scope="col" class="number">Left, expected</th></tr></thead>
      <tbody>${stages.map((stage) => html`<tr key=${stage.stage} data-test="stage" data-stage=${stage.stage}><th scope="row">${stage.stage}</th>
        <td class="number">${count(stage.judged)}</td><td class="number">${count(stage.passed)}</td><td class="number">${count(stage.left.questions)}</td>
        <td class="number">${count(stage.actual.calls)}</td><td class="number">${count(stage.actual.input_tokens)}</td>
        <td class="number">${count(stage.actual.output_tokens)}</td><td class="number wait">${money(stage.forecast?.cost_usd)}</td>
        <td class="number">${money(stage.actual.cost_usd)}</td><td class="number">${money(stage.left.cost_usd)}</td></tr>`)}</tbody>
      <tfoot><tr><th scope="row">all</th><td colspan="6"></td><td class="number wait">${known ? money(total("forecast")) : "–"}</td>
        <td class="number">${money(cost)}</td><td class="number">${money(total("left"))}</td></tr></tfoot></table></div><//>`;
}
