// How long questions and answers are, what they are about, who wrote them.
import { html } from "../lib/ui.js";
import { ask, segment, withQuery } from "../lib/api.js";
import { usePoll } from "../lib/poll.js";
import { count, short } from "../lib/format.js";
import { Counts } from "./counts.js";
import { Panel } from "./small.js";

export function Distributions({ name, query }) {
  const path = withQuery(`/v1/datasets/${segment(name)}/distributions`, { domain: query.domain, difficulty: query.difficulty });
  const { data } = usePoll((signal) => ask(path, { signal }), null, path);
  if (!data) return html`<section class="w5"></section>`;
  const of = [query.domain, query.difficulty].filter(Boolean).join(" / ") || "all cells";
  const told = data.sampled ? `${of}; a sample of ${count(data.looked_at)} of ${count(data.questions)}` : `${of}; ${count(data.questions)} selected`;
  return html`<${Panel} title="Distributions" wide="w5" test="panel-distributions" aside=${told}>
    <${Lengths} title="Tokens of questions" lengths=${data.prompt_tokens} test="lengths-prompt" />
    <${Lengths} title="Tokens of answers" lengths=${data.completion_tokens} kind="second" test="lengths-completion" />
    <h3 class="part">Topics</h3><${Counts} counts=${byName(data.topics.slice(0, 8))} none="No topic is known." />
    <h3 class="part">Models</h3><${Counts} counts=${byName(data.models)} none="None." /><//>`;
}

const byName = (rows) => Object.fromEntries(rows.map((row) => [row.name, row.count]));

function Lengths({ title, lengths, kind = "", test }) {
  if (!lengths) return null;
  const { bins } = lengths;
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  const said = `${title}: mean ${lengths.mean.toFixed(1)}, median ${lengths.median}`;
  return html`<figure class="histogram" data-test=${test}><figcaption><b>${title}</b> <span class="note">mean ${lengths.mean.toFixed(1)}, median ${count(lengths.median)}</span></figcaption>
    <div class="columns" role="img" aria-label=${said}>${bins.map((bin) => html`<span key=${bin.from} title=${`${bin.from} to ${bin.to - 1}: ${count(bin.count)}`}>
      <i class=${kind} style=${{ "--at": bin.count === 0 ? 0 : Math.max(1.5, (bin.count / most) * 100) }}></i></span>`)}</div>
    <div class="columns-scale note" aria-hidden="true"><span>${count(bins[0]?.from)}</span>
      ${bins.length > 4 && html`<span>${count(bins[Math.floor(bins.length / 2)].from)}</span>`}<span>${short(bins[bins.length - 1]?.to)}</span></div></figure>`;
}
