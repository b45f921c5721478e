// The token balance: for each difficulty a scale from 0 to 100 %, a needle at the plan, bars for what was measured.
import { html } from "../lib/ui.js";
import { percent, points } from "../lib/format.js";

export function TokenGauges({ shares, measure }) {
  const names = Object.keys(shares.planned);
  const rows = [
    ["questions", shares.prompt ?? shares.measured, "", measure === "prompt"],
    ["answers", shares.completion, "second", measure === "completion"],
  ].filter(([, values]) => values && Object.values(values).some((value) => value > 0));
  if (measure === "total") rows.push(["both", shares.measured, "", true]);
  return html`<div data-test="gauges">${names.map((name) => html`<div class="gauge" key=${name} data-test="gauge" data-difficulty=${name}>
    <div class="gauge-name"><b>${name}</b><span class="wait">planned ${percent(shares.planned[name], 2)}</span></div>
    <div class="gauge-scale" aria-hidden="true">
      ${rows.length === 0 && html`<span class="bar"></span>`}
      ${rows.map(([label, values, kind]) => html`<span class="bar" key=${label}><i class=${kind} style=${{ "--at": values[name] * 100 }}></i></span>`)}
      <span class="needle" style=${{ "--at": shares.planned[name] * 100 }}></span></div>
    <div class="gauge-text">
      ${rows.length === 0 && html`<span>nothing measured yet</span>`}
      ${rows.map(([label, values, kind, balanced]) => html`<span><i class=${kind}></i>${label}</span><span>${percent(values[name], 2)}</span>
        <span>${balanced ? html`<b>${points(values[name] - shares.planned[name])}</b>` : html`<span class="quiet">not balanced</span>`}</span>`)}
    </div></div>`)}</div>`;
}
