// What the server says of itself, asked once. null until it is known, and for a server that does not say.
import { useEffect, useState } from "./ui.js";
import { ask } from "./api.js";

let asked = null;

export const readSettings = () => (asked ??= ask("/v1/settings/public").catch(() => null));

export function useSettings() {
  const [settings, setSettings] = useState(null);
  useEffect(() => {
    readSettings().then(setSettings);
  }, []);
  return settings;
}
