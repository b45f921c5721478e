// System, light or dark; the choice stays in this browser.
import { html, useState } from "../lib/ui.js";

const KEY = "questmill-theme";
const THEMES = ["system", "light", "dark"];

export function ThemeSwitch() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme || "system");
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  const change = () => {
    if (next === "system") {
      localStorage.removeItem(KEY);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(KEY, next);
      document.documentElement.dataset.theme = next;
    }
    setTheme(next);
  };
  return html`<button type="button" class="plain" data-test="theme" onClick=${change} title=${`Change to ${next}`}>
    <span class="hidden-label">Theme: </span>${theme[0].toUpperCase() + theme.slice(1)}</button>`;
}
