// A job spec as a form has it, and back. Pure: what a person typed stays text until it is sent, so that the server
// says what is wrong with it, at its place.
export const STAGES = ["generate", "validate", "answer"];

export const EMPTY = {
  dataset: "", domains: [{ name: "", total: "" }], difficulties: [{ name: "easy", share: "60", mean: "15", answer: "" },
    { name: "hard", share: "40", mean: "750", answer: "" }],
  stages: { generate: true, validate: false, answer: false }, models: {}, mode: {}, votes: "", least: "", samples: "",
  measure: "prompt", means: "fixed", budget: "", seed: "", mix: {}, rest: {},
};

const text = (value) => (value === undefined || value === null ? "" : String(value));

// A share as a percentage, without the noise of binary fractions.
const toPercent = (share) => text(share === undefined ? "" : Number((Number(share) * 100).toFixed(8)));

export function formOf(spec) {
  const { dataset, mix = {}, stages = ["generate"], models = {}, mode = {}, judging = {}, answering = {}, budget_usd: budget, seed, ...rest } = spec;
  const { domains = {}, difficulties = {}, measure = "prompt", means = "fixed", existing, ...more } = mix;
  return {
    dataset: text(dataset),
    domains: existing ? [] : Object.entries(domains).map(([name, total]) => ({ name, total: text(total) })),
    difficulties: existing ? [] : Object.entries(difficulties).map(([name, each]) => ({
      name, share: toPercent(each.token_share), mean: text(each.mean_tokens), answer: text(each.answer_tokens),
    })),
    stages: Object.fromEntries(STAGES.map((stage) => [stage, stages.includes(stage)])),
    models: mapStages(models, (by) => Object.fromEntries(Object.entries(by).map(([name, named]) => [name, [named].flat().join(", ")]))),
    mode: typeof mode === "string" ? Object.fromEntries(STAGES.map((stage) => [stage, mode])) : { ...mode },
    votes: text(judging.votes), least: text(judging.least), samples: text(answering.samples),
    measure, means, budget: text(budget), seed: text(seed), mix: more, rest: { ...rest, judging, answering },
  };
}

const mapStages = (by, change) => Object.fromEntries(Object.entries(by).map(([stage, value]) => [stage, change(value)]));

// A plain number as a number; anything else as it is, for the server to refuse.
function number(value) {
  const typed = String(value).trim();
  return /^-?\d+(\.\d+)?$/.test(typed) ? Number(typed) : typed;
}

function share(value) {
  const found = number(value);
  return typeof found === "number" ? Number((found / 100).toFixed(10)) : found;
}

export function specOf(form) {
  const domains = form.domains.filter((each) => each.name.trim() || each.total.trim());
  const difficulties = form.difficulties.filter((each) => each.name.trim() || each.share.trim() || each.mean.trim());
  const spec = { dataset: form.dataset.trim() };
  if (domains.length || difficulties.length || form.stages.generate) {
    spec.mix = {
      domains: Object.fromEntries(domains.map((each) => [each.name.trim(), number(each.total)])),
      difficulties: Object.fromEntries(difficulties.map((each) => [each.name.trim(), {
        token_share: share(each.share), mean_tokens: number(each.mean), ...given("answer_tokens", each.answer),
      }])),
      ...form.mix, measure: form.measure, means: form.means,
    };
  }
  const stages = STAGES.filter((stage) => form.stages[stage]);
  const { judging = {}, answering = {}, ...rest } = form.rest;
  const names = new Set(difficulties.map((each) => foldName(each.name)));
  Object.assign(spec, rest, { stages },
    filled("models", modelsOf(form.models, stages, names)),
    filled("mode", Object.fromEntries(Object.entries(form.mode).filter(([stage, mode]) => mode === "bulk" && stages.includes(stage)))),
    filled("judging", { ...judging, ...given("votes", form.votes), ...given("least", form.least) }),
    filled("answering", { ...answering, ...given("samples", form.samples) }),
    form.budget.trim() ? { budget_usd: form.budget.trim() } : {}, given("seed", form.seed));
  return spec;
}

const given = (name, value) => (value.trim() ? { [name]: number(value) } : {});
const filled = (name, value) => (Object.keys(value).length ? { [name]: value } : {});

function modelsOf(models, stages, names) {
  const found = {};
  for (const stage of stages) {
    for (const [difficulty, typed] of Object.entries(models[stage] || {})) {
      const named = typed.split(",").map((each) => each.trim()).filter(Boolean);
      if (named.length && names.has(foldName(difficulty))) {
        found[stage] = { ...found[stage], [difficulty]: named.length === 1 ? named[0] : named };
      }
    }
  }
  return found;
}

// As the server folds names: Tool_Use is "tool use".
export const foldName = (name) => name.toLowerCase().replaceAll("_", " ").split(/\s+/).filter(Boolean).join(" ");

// What JSON could not even say: two rows of one name.
export function ownErrors(form) {
  return [["mix.domains", form.domains], ["mix.difficulties", form.difficulties]].flatMap(([loc, rows]) => {
    const names = rows.map((row) => foldName(row.name));
    return names.flatMap((name, i) => (name && names.indexOf(name) < i ? [{ loc: `${loc}.${name}`, msg: "is there twice" }] : []));
  });
}
