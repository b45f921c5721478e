// Inputs that show the errors of their place in the spec.
import { html } from "../lib/ui.js";
import { foldName } from "../lib/spec_form.js";

// `options`: [[value, label]] makes a select.
export function Field({ label, loc, errors, value, onValue, hint, mode, options }) {
  const id = `field-${loc.replaceAll(/[^a-z0-9]+/gi, "-")}`;
  const wrong = messages(errors, loc);
  const shared = { id, value, "data-test": id, "data-loc": loc, "aria-invalid": wrong.length ? "true" : undefined, "aria-describedby": wrong.length ? `${id}-problem` : undefined };
  return html`<div class="field"><label for=${id}>${label}</label>
    ${options ? html`<select ...${shared} onChange=${(event) => onValue(event.target.value)}>
        ${options.map(([name, shown]) => html`<option key=${name} value=${name} selected=${name === value}>${shown}</option>`)}</select>`
      : html`<input ...${shared} placeholder=${hint} inputmode=${mode} autocomplete="off" spellcheck=${false} onInput=${(event) => onValue(event.target.value)} />`}
    ${wrong.length > 0 && html`<p class="problem" id=${`${id}-problem`} data-test="field-problem" data-loc=${loc}>${wrong.join("; ")}</p>`}</div>`;
}

const messages = (errors, loc) => errors.filter((each) => each.loc === loc || each.loc.startsWith(`${loc}.`)).map((each) => each.msg);

// Rows of inputs that one adds and takes away; `onRows` gets what changes them.
// `columns`: [[name, label, inputmode, key in the spec, placeholder]]; the first is the row's name.
export function Rows({ kind, rows, onRows, errors, loc, columns, fresh, add }) {
  // What was typed a moment ago may not be drawn yet: changes are made to the rows as they are then.
  const set = (i, name, value) => onRows((now) => now.map((row, at) => (at === i ? { ...row, [name]: value } : row)));
  const list = errors.filter((each) => each.loc === loc);
  return html`<div class="rows">
    <div class=${`row names ${kind}`} aria-hidden="true">${columns.map(([name, label]) => html`<span key=${name}>${label}</span>`)}</div>
    ${rows.map((row, i) => {
      const place = `${loc}.${foldName(row.name)}`;
      const wrong = errors.filter((each) => row.name.trim() && (each.loc === place || each.loc.startsWith(`${place}.`)));
      const invalid = (key) => wrong.some((each) => (key ? each.loc === `${place}.${key}` : each.loc === place));
      return html`<div class=${`row ${kind}`} key=${i} data-test=${`${kind}-row`}>
        ${columns.map(([name, label, mode, key, empty], column) => html`<label key=${name}><span class="its-name" aria-hidden="true">${label}</span>
          <input value=${row[name]} placeholder=${empty || label} inputmode=${mode} autocomplete="off" spellcheck=${false}
            class=${column ? "number" : ""} aria-label=${`${label}, row ${i + 1}`} aria-invalid=${invalid(key) ? "true" : undefined} data-test=${`${kind}-${name}`}
            onInput=${(event) => set(i, name, event.target.value)} /></label>`)}
        <button type="button" class="plain" aria-label=${`Remove ${row.name || `row ${i + 1}`}`} data-test=${`${kind}-remove`} onClick=${() => onRows((now) => now.filter((_, at) => at !== i))}>×</button>
        ${wrong.map((each) => html`<p class="problem" data-test="field-problem" data-loc=${each.loc}>${each.loc === place ? "" : `${columns.find(([, , , key]) => each.loc.endsWith(`.${key}`))?.[1] || ""}: `}${each.msg}</p>`)}</div>`;
    })}</div>
    ${list.map((each) => html`<p class="problem" data-test="field-problem" data-loc=${loc} key=${each.msg}>${each.msg}</p>`)}
    <div class="buttons"><button type="button" data-test=${`${kind}-add`} onClick=${() => onRows((now) => [...now, fresh])}>${add}</button></div>`;
}
