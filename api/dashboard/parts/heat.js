// Domain x difficulty as a table whose cells are warmer the nearer they are to their target.
import { html } from "../lib/ui.js";
import { count, percentDone, short } from "../lib/format.js";
import { href } from "../lib/route.js";

// `cells`: {domain, difficulty, target?, selected, validated, answered, rejected, stopped}; `column` is what counts as ready.
export function Heat({ cells, column, dataset, stages, test = "heat" }) {
  const domains = [...new Set(cells.map((cell) => cell.domain))];
  const difficulties = [...new Set(cells.map((cell) => cell.difficulty))];
  const at = new Map(cells.map((cell) => [`${cell.domain}/${cell.difficulty}`, cell]));
  const planned = cells.some((cell) => cell.target !== undefined);
  const most = Math.max(1, ...cells.map((cell) => cell.selected));
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Cells by domain and difficulty"><table class="heat" data-test=${test}>
    <thead><tr><th scope="col"><span class="hidden-label">Domain</span></th>
      ${difficulties.map((name) => html`<th scope="col" key=${name}><span class="fold">${name}</span></th>`)}</tr></thead>
    <tbody>${domains.map((domain) => html`<tr key=${domain}><th scope="row"><span class="fold">${domain}</span></th>
      ${difficulties.map((difficulty) => html`<${Cell} key=${difficulty} cell=${at.get(`${domain}/${difficulty}`)}
        column=${column} dataset=${dataset} stages=${stages} planned=${planned} most=${most} />`)}</tr>`)}</tbody>
    <tfoot><tr><th scope="row">total</th>${difficulties.map((difficulty) => {
      const own = cells.filter((cell) => cell.difficulty === difficulty);
      const sum = (name) => own.reduce((all, cell) => all + (cell[name] || 0), 0);
      return html`<td key=${difficulty}><b>${count(sum(column))}</b>${planned && html` <span class="quiet">of ${count(sum("target"))}</span>`}</td>`;
    })}</tr></tfoot></table></div>`;
}

const COLUMNS = { generate: "selected", validate: "validated", answer: "answered" };

// Of what all stages together have to do in this cell: it grows while nothing is ready yet.
function shareDone(cell, stages) {
  if (!cell.target) return 1;
  const shares = stages.map((stage) => Math.min(1, (cell[COLUMNS[stage]] || 0) / cell.target));
  return shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length);
}

function Cell({ cell, column, dataset, stages, planned, most }) {
  if (!cell) return html`<td></td>`;
  const ready = cell[column] || 0;
  const share = planned ? shareDone(cell, stages) : ready / most;
  const more = [
    ["chosen", cell.selected, column !== "selected"],
    ["validated", cell.validated, stages.includes("validate") && column !== "validated"],
    ["reserve", cell.reserve, cell.reserve > 0],
    ["rejected", cell.rejected, cell.rejected > 0, "refused"],
  ].filter(([, , shown]) => shown);
  return html`<td style=${{ "--done": share }} class=${cell.stopped ? "stopped" : ""} data-test="cell" data-cell=${`${cell.domain}/${cell.difficulty}`}>
    <a href=${href(["datasets", dataset], { domain: cell.domain, difficulty: cell.difficulty })}>
      <span class="hidden-label">${cell.domain}, ${cell.difficulty}: </span>
      <span class="cell-top"><span><b>${count(ready)}</b>${planned && html` <span>of ${count(cell.target)}</span>`}</span>
        ${planned && html`<span>${percentDone(ready, cell.target)}</span>`}</span><span class="hidden-label"> ${column}; browse</span></a>
    <span class="cell-more">${more.map(([name, value, , kind]) => html`<span key=${name} class=${kind || ""}>${short(value)} ${name}</span>`)}
      ${cell.stopped && html`<span class="refused">stopped: ${cell.stopped}</span>`}</span></td>`;
}
