// How long questions and answers are, what they are about, who wrote them.
import { html } from "../lib/ui.js";

export const Distributions = () => html``;
