import { html } from "../lib/ui.js";

export const Dataset = () => html`<h1>Dataset</h1>`;
