// Throughput, latency and spend over time.
import { html, useMemo } from "../lib/ui.js";
import { duration, milliseconds, money, parseTime, short } from "../lib/format.js";
import { isUnfinished } from "../lib/use_job.js";
import { Chart } from "./chart.js";
import { Panel } from "./small.js";

export function SeriesPanels({ series, job }) {
  // The step that is not over yet would look like a fall.
  const whole = series && series.times.length - (isUnfinished(job) ? 1 : 0);
  const times = useMemo(() => (series?.times || []).slice(0, whole).map(parseTime), [series, whole]);
  if (!series || series.source === "archived") return null;
  const cut = (values) => (values || []).slice(0, whole);
  const aMinute = (values) => cut(values).map((value) => (value === null ? null : (value * 60) / series.step_seconds));
  const answers = job.progress.stages.some((stage) => stage.stage === "answer");
  const every = `in steps of ${duration(series.step_seconds)}`;
  const guessed = (...names) => (names.some((name) => series.sampled.includes(name)) ? ", from a sample of calls" : "");
  const forecast = Number(job.plan.forecast?.cost_usd);
  const spent = cut(series.cost_usd);
  return html`
    <${Panel} title="Questions a minute" wide="w4" test="panel-throughput" aside=${every + guessed("admitted", "rejected", "answered")}>
      <${Chart} label="Questions a minute over time" times=${times} format=${short} test="chart-throughput" lines=${[
        { label: "admitted", values: aMinute(series.admitted), area: true },
        ...(answers ? [{ label: "answered", values: aMinute(series.answered), kind: "second" }] : []),
        { label: "refused", values: aMinute(series.rejected), kind: "refused" },
      ]} /><//>
    <${Panel} title="Latency of calls" wide="w4" test="panel-latency" aside=${every + guessed("latency_p50_ms")}>
      <${Chart} label="Latency of calls over time" times=${times} format=${milliseconds} test="chart-latency" lines=${[
        { label: "median", values: cut(series.latency_p50_ms) },
        { label: "95th percentile", values: cut(series.latency_p95_ms), kind: "second" },
      ]} /><//>
    <${Panel} title="Spend" wide="w4" test="panel-spend" aside=${job.rehearsal ? "simulated: nothing is paid" : ""}>
      <${Chart} label="Spend over time" times=${times} format=${money} test="chart-spend"
        lines=${[{ label: "spent", values: spent, area: true }]}
        marks=${[{ label: "budget", value: job.budget_usd, kind: "refused" }, ...(forecast > 0 ? [{ label: "forecast", value: forecast }] : [])]} /><//>`;
}
