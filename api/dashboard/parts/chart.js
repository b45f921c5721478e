// Values over time as lines. Our own SVG, since it then takes its colours from the style sheet, in both themes at once.
import { html, useLayoutEffect, useRef, useState } from "../lib/ui.js";
import { clock } from "../lib/format.js";

const LEFT = 56;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 20;
const STEPS = [1, 2, 2.5, 5, 10];

// `lines`: [{label, values, kind, area}]; a null is a gap. `marks`: [{value, label, kind}], drawn across.
// `times`: Date of each value. `format(value)` writes one.
export function Chart({ label, times, lines, marks = [], format, height = 168, test }) {
  const box = useRef(null);
  const [width, setWidth] = useState(480);
  const [at, setAt] = useState(null);
  useLayoutEffect(() => {
    const seen = new ResizeObserver(([entry]) => setWidth(Math.max(200, Math.round(entry.contentRect.width))));
    seen.observe(box.current);
    return () => seen.disconnect();
  }, []);
  const last = times.length - 1;
  const shown = Math.min(at ?? last, last);
  const top = niceTop(Math.max(...lines.flatMap((line) => line.values.filter((value) => value !== null)), ...marks.map((mark) => mark.value), 0));
  const first = times[0]?.getTime() ?? 0;
  const span = Math.max(1, (times[last]?.getTime() ?? 1) - first);
  const x = (i) => LEFT + ((times[i].getTime() - first) / span) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (height - TOP - BOTTOM);
  const point = (event) => {
    const place = event.clientX - box.current.getBoundingClientRect().left;
    let best = 0;
    for (let i = 1; i <= last; i += 1) if (Math.abs(x(i) - place) < Math.abs(x(best) - place)) best = i;
    setAt(best);
  };
  const press = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -last, End: last }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(last, shown + step)));
  };
  const summary = lines.map((line) => `${line.label} ${format(line.values[shown] ?? null)}`).join(", ");
  return html`<div class="chart" data-test=${test}>
    <div class="chart-legend"><span>${times.length ? clock(times[shown]) : ""}</span>
      ${lines.map((line) => html`<span key=${line.label}><i class=${line.kind || ""}></i>${line.label} <b>${format(line.values[shown] ?? null)}</b></span>`)}</div>
    <div ref=${box} tabindex="0" role="img" aria-label=${`${label}. At ${times.length ? clock(times[shown]) : "no time"}: ${summary}. Arrow keys move in time.`}
        onKeyDown=${press} onPointerMove=${point} onPointerLeave=${() => setAt(null)} onBlur=${() => setAt(null)}>
      <svg viewBox=${`0 0 ${width} ${height}`} height=${height} aria-hidden="true">
        ${ticks(top).map((value) => html`<g key=${value}><line class=${value ? "gridline" : "axis"} x1=${LEFT} x2=${width - RIGHT} y1=${y(value)} y2=${y(value)} />
          <text x=${LEFT - 8} y=${y(value) + 4} text-anchor="end">${format(value)}</text></g>`)}
        ${times.length > 1 && timeTicks(times, width).map(([i, anchor]) => html`<text key=${i} x=${x(i)} y=${height - 4} text-anchor=${anchor}>${clock(times[i])}</text>`)}
        ${times.length > 1 && lines.map((line) => html`<g key=${line.label}>
          ${line.area && html`<path class=${`area ${line.kind || ""}`} d=${areaPath(line.values, x, y)} />`}
          <path class=${`line ${line.kind || ""}`} d=${linePath(line.values, x, y)} /></g>`)}
        ${placed(marks, y).map(({ mark, labelY }) => html`<g key=${mark.label}><line class=${`mark ${mark.kind || ""}`} x1=${LEFT} x2=${width - RIGHT} y1=${y(mark.value)} y2=${y(mark.value)} />
          <text class="mark-label" x=${LEFT + 6} y=${labelY}>${mark.label} ${format(mark.value)}</text></g>`)}
        ${at !== null && times.length > 1 && html`<line class="cursor" x1=${x(shown)} x2=${x(shown)} y1=${TOP} y2=${height - BOTTOM} />
          ${lines.map((line) => (line.values[shown] ?? null) !== null && html`<circle class="dot" key=${line.label} cx=${x(shown)} cy=${y(line.values[shown])} r="3" />`)}`}
      </svg></div></div>`;
}

function niceTop(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return STEPS.find((step) => step * power >= most * 1.02) * power || 10 * power;
}

const ticks = (top) => [0, top / 2, top];

function timeTicks(times, width) {
  const last = times.length - 1;
  return width < 360 ? [[0, "start"], [last, "end"]] : [[0, "start"], [Math.round(last / 2), "middle"], [last, "end"]];
}

// Labels of marks that lie close together go apart: one above its line, one below.
function placed(marks, y) {
  const sorted = [...marks].sort((a, b) => b.value - a.value);
  let before = -Infinity;
  return sorted.map((mark) => {
    const line = y(mark.value);
    const labelY = line - 4 < before + 13 || line < 18 ? Math.max(line + 13, before + 13) : line - 4;
    before = labelY;
    return { mark, labelY };
  });
}

function linePath(values, x, y) {
  let pen = "M";
  let path = "";
  values.forEach((value, i) => {
    if (value === null || value === undefined) {
      pen = "M";
      return;
    }
    path += `${pen}${x(i).toFixed(1)},${y(value).toFixed(1)}`;
    pen = "L";
  });
  return path;
}

function areaPath(values, x, y) {
  const known = values.map((value, i) => [value ?? 0, i]);
  if (known.length < 2) return "";
  const line = known.map(([value, i]) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join("L");
  return `M${x(0).toFixed(1)},${y(0).toFixed(1)}L${line}L${x(known.length - 1).toFixed(1)},${y(0).toFixed(1)}Z`;
}
