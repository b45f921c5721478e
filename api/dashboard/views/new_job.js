import { html } from "../lib/ui.js";

export const NewJob = () => html`<h1>New job</h1>`;
