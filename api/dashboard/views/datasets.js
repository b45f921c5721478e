// All datasets.
import { html, useEffect } from "../lib/ui.js";
import { ask } from "../lib/api.js";
import { usePoll } from "../lib/poll.js";
import { href } from "../lib/route.js";
import { count, moment } from "../lib/format.js";
import { Stale } from "../parts/small.js";
import { ImportDrop } from "../parts/import_drop.js";

export function Datasets() {
  const { data, problem, since, again } = usePoll((signal) => ask("/v1/datasets", { signal }), 5, "datasets");
  useEffect(() => {
    document.title = "Datasets – Questmill";
  }, []);
  return html`<div class="head"><h1>Datasets</h1></div><${Stale} problem=${problem} since=${since} />
    <section class="panel" aria-label="Datasets" aria-busy=${!data}>
      ${!data && !problem && html`<p class="quiet">Reading the datasets</p>`}
      ${data?.items.length === 0 && html`<p>No dataset yet. <a href="#/new">Make one</a>, or import one below.</p>`}
      ${data?.items.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label="Table of datasets"><table data-test="datasets">
        <thead><tr><th scope="col">Dataset</th><th scope="col" class="number">Selected</th><th scope="col" class="number">All questions</th><th scope="col">Job</th><th scope="col">Begun</th></tr></thead>
        <tbody>${data.items.map((each) => html`<tr key=${each.name} data-test="dataset-row">
          <th scope="row"><a class="name" href=${href(["datasets", each.name])} data-test="dataset-link">${each.name}</a></th>
          <td class="number">${count(each.selected)}</td><td class="number">${count(each.questions)}</td>
          <td>${each.unfinished_job ? html`<a href=${href(["jobs", each.unfinished_job])}>unfinished</a>` : html`<span class="quiet">none open</span>`}</td>
          <td class="quiet nowrap">${moment(each.created_at)}</td></tr>`)}</tbody></table></div>`}</section>
    <div style=${{ marginTop: "16px" }}><${ImportDrop} onDone=${again} /></div>`;
}
