import { html } from "../lib/ui.js";

export const Datasets = () => html`<h1>Datasets</h1>`;
