// Who is signed in, and what they may. Asked before anything else is; signing in or out begins the page anew.
import { useEffect, useState } from "./ui.js";
import { SIGNED_OUT, ask } from "./api.js";

const SCOPES = ["read", "submit", "admin"];
// The server has not said; each request will tell.
const UNKNOWN = { required: false, key: null };

let session = UNKNOWN;

// -> null until it is known, then {required, key: {name, scope} or null}.
export function useSession() {
  const [known, setKnown] = useState(null);
  useEffect(() => {
    const take = (found) => {
      session = found;
      setKnown(found);
    };
    const leave = () => take({ required: true, key: null });
    addEventListener(SIGNED_OUT, leave);
    ask("/v1/session").then(take, (problem) => problem.status !== 401 && take(UNKNOWN));
    return () => removeEventListener(SIGNED_OUT, leave);
  }, []);
  return known;
}

export const may = (scope) => !session.key || SCOPES.indexOf(session.key.scope) >= SCOPES.indexOf(scope);

export async function signIn(key) {
  await ask("/v1/session", { method: "POST", json: { key }, signingIn: true });
  location.reload();
}

export async function signOut() {
  await ask("/v1/session", { method: "DELETE" });
  location.reload();
}
