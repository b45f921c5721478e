// Ask again and again, but only while somebody can see the answer.
import { useEffect, useRef, useState } from "./ui.js";

const LEAST_SECONDS = 2;

// `load(signal)` every `seconds` after its last answer, never in a hidden tab; `seconds` null: once.
// -> {data, problem, since, again}: `data` stays when a later try fails, `since` is when it was last true.
export function usePoll(load, seconds, about) {
  const [state, setState] = useState({ about: null, data: null, problem: null, since: null });
  const again = useRef(() => {});
  useEffect(() => {
    let timer = null;
    let running = null;
    let stopped = false;
    const next = () => {
      if (!stopped && seconds !== null && !document.hidden) {
        timer = setTimeout(run, Math.max(LEAST_SECONDS, seconds) * 1000);
      }
    };
    async function run() {
      clearTimeout(timer);
      running?.abort();
      const mine = new AbortController();
      running = mine;
      try {
        const data = await load(mine.signal);
        if (!stopped && running === mine) setState({ about, data, problem: null, since: new Date() });
      } catch (problem) {
        if (stopped || problem.name === "AbortError") return;
        setState((before) => ({ ...(before.about === about ? before : { data: null, since: null }), about, problem }));
      }
      if (running === mine) next();
    }
    const seen = () => {
      if (document.hidden) clearTimeout(timer);
      else if (seconds !== null) run();
    };
    again.current = run;
    run();
    document.addEventListener("visibilitychange", seen);
    return () => {
      stopped = true;
      clearTimeout(timer);
      running?.abort();
      document.removeEventListener("visibilitychange", seen);
    };
  }, [about, seconds]);
  const fresh = state.about === about ? state : { data: null, problem: null, since: null };
  return { ...fresh, again: () => again.current() };
}
