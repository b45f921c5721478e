// A job as it is now: read once, then kept up to date by its events.
import { useEffect, useRef, useState } from "./ui.js";
import { ask } from "./api.js";
import { follow } from "./live.js";

const UNFINISHED = ["running", "paused"];
// What events do not carry (budget, plan) is read again this often.
const WHOLE_SECONDS = 10;
const ABOUT = ["id", "dataset", "state", "reason"];

export const isUnfinished = (job) => UNFINISHED.includes(job.state);

// -> {job, problem, link, replace(job)}; `link` is what `follow` says, null for a job that has ended.
export function useJob(id) {
  const [job, setJob] = useState(null);
  const [problem, setProblem] = useState(null);
  const [link, setLink] = useState(null);
  const read = useRef(0);
  const unfinished = job ? isUnfinished(job) : null;

  const load = async () => {
    const mine = ++read.current;
    try {
      const found = await ask(`/v1/jobs/${encodeURIComponent(id)}`);
      if (mine === read.current) {
        setJob(found);
        setProblem(null);
      }
    } catch (error) {
      if (mine === read.current) setProblem(error);
    }
  };
  useEffect(() => {
    load();
    return () => {
      read.current += 1;
    };
  }, [id]);
  useEffect(() => {
    if (problem && !job && problem.status !== 404) {
      const timer = setTimeout(load, 3000);
      return () => clearTimeout(timer);
    }
    return undefined;
  }, [problem]);
  useEffect(() => {
    if (!unfinished) {
      setLink(null);
      return undefined;
    }
    const stop = follow(id, {
      onLink: setLink,
      onEnd: load,
      onProgress: (event) => {
        setJob((before) => {
          if (before && event.state !== before.state) setTimeout(load);
          return before && merge(before, event);
        });
      },
    });
    const timer = setInterval(() => !document.hidden && load(), WHOLE_SECONDS * 1000);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [id, unfinished]);
  const replace = (found) => {
    read.current += 1;
    setJob(found);
  };
  return { job, problem, link, replace };
}

function merge(job, event) {
  const about = Object.fromEntries(ABOUT.map((name) => [name, event[name]]));
  const progress = { ...event };
  for (const name of ABOUT) delete progress[name];
  return { ...job, ...about, progress };
}

// What counts as ready: questions that came through the last stage.
const THROUGH = { generate: "selected", validate: "validated", answer: "answered" };
export const lastColumn = (job) => THROUGH[job.progress.stages?.at(-1)?.stage] || "selected";
