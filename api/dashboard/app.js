// The frame around the views, and which view a hash shows.
import { html, render, useEffect, useErrorBoundary, useRef } from "./lib/ui.js";
import { useRoute } from "./lib/route.js";
import { useSession } from "./lib/session.js";
import { useSettings } from "./lib/settings.js";
import { ThemeSwitch } from "./parts/theme_switch.js";
import { Who } from "./parts/who.js";
import { Rehearsal } from "./parts/small.js";
import { Jobs } from "./views/jobs.js";
import { Job } from "./views/job.js";
import { NewJob } from "./views/new_job.js";
import { Datasets } from "./views/datasets.js";
import { Dataset } from "./views/dataset.js";
import { SignIn } from "./views/sign_in.js";

const LINKS = [["jobs", "Jobs", "#/"], ["new", "New job", "#/new"], ["datasets", "Datasets", "#/datasets"]];

function View({ route }) {
  const [first = "", second, third, fourth] = route.path;
  if (first === "" || (first === "jobs" && !second)) return html`<${Jobs} />`;
  if (first === "jobs") return html`<${Job} key=${second} id=${second} />`;
  if (first === "new") return html`<${NewJob} query=${route.query} />`;
  if (first === "datasets" && !second) return html`<${Datasets} />`;
  if (first === "datasets") {
    return html`<${Dataset} key=${second} name=${second} question=${third === "questions" ? fourth : null} query=${route.query} />`;
  }
  return html`<h1 tabindex="-1">There is no such page</h1><p><a href="#/">All jobs</a></p>`;
}

function Guarded({ route }) {
  const [error, reset] = useErrorBoundary();
  const place = route.hash;
  const shown = useRef(place);
  useEffect(() => {
    if (error && shown.current !== place) reset();
    shown.current = place;
  }, [place]);
  if (!error) return html`<${View} route=${route} />`;
  return html`<div class="message bad" role="alert" data-test="page-error">
    This view has failed: ${String(error.message || error)}. <a href="#/">All jobs</a>
  </div>`;
}

function App() {
  const session = useSession();
  if (session && (session.key || !session.required)) return html`<${Frame} signedIn=${session.key} />`;
  return html`<header class="top"><span class="brand"><${Mark} />Questmill</span><div class="right"><${ThemeSwitch} /></div></header>
    <main class="page">${session && html`<${SignIn} />`}</main>`;
}

function Frame({ signedIn }) {
  const route = useRoute();
  const settings = useSettings();
  const section = { "": "jobs", jobs: "jobs", new: "new", datasets: "datasets" }[route.path[0] || ""];
  const place = route.path.slice(0, 2).join("/");
  const main = useRef(null);
  const before = useRef(place);
  useEffect(() => {
    // A screen reader and the keyboard begin anew where the new view begins.
    if (before.current !== place) {
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
    before.current = place;
  }, [place]);
  return html`
    <header class="top">
      <a class="skip" href=${location.hash || "#/"} onClick=${(event) => { event.preventDefault(); main.current?.focus(); }}>To the content</a>
      <a class="brand" href="#/"><${Mark} />Questmill</a>
      <nav aria-label="Main">
        ${LINKS.map(([name, label, to]) => html`
          <a href=${to} data-test=${`nav-${name}`} aria-current=${section === name ? "page" : undefined}>${label}</a>`)}
      </nav>
      <div class="right">
        ${settings?.rehearsal && html`<${Rehearsal} />`}
        ${settings?.flower_url && html`<a href=${settings.flower_url} data-test="flower">Flower</a>`}
        ${signedIn && html`<${Who} signedIn=${signedIn} />`}
        <${ThemeSwitch} />
      </div>
    </header>
    <main class="page" ref=${main} tabindex="-1"><${Guarded} route=${route} /></main>`;
}

const Mark = () => html`<svg viewBox="0 0 32 32" aria-hidden="true">
  <path d="M7 25V12M13 25V8M19 25v-9M25 25V11" stroke="var(--teal)" stroke-width="3" stroke-linecap="round" />
  <path d="M3 17h26" stroke="var(--ochre-line)" stroke-width="2" /></svg>`;

// A file that misses its field would be opened in place of the page, and of what was typed into it.
const keep = (event) => {
  if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
};
addEventListener("dragover", keep);
addEventListener("drop", keep);

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
