"""The commented job spec that `questmill init` writes. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from shared.database.states import Stage
from shared.jobs.spec import parse_spec

DOMAINS = ("coding", "math", "reading")
QUESTIONS = 1000
PLAIN = re.compile(r"[a-z][a-z0-9 _-]*")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the spec is to ask for; `questions` are shared out evenly among the domains."""

    dataset: str = "mine"
    domains: Sequence[str] = DOMAINS
    questions: int = QUESTIONS
    stages: Sequence[Stage] = (Stage.GENERATE,)


def write_template(wishes: Wishes) -> str:
    """The YAML, every line of it explained. Raises InvalidInput when what is wished for is no job."""
    text = "\n".join(
        [
            "# A job for Questmill. See what it would do and cost:  ./run questmill plan THIS_FILE",
            "# and start it:                                        ./run questmill submit THIS_FILE --watch",
            "# Lines that begin with # are options at their defaults, or examples; docs/pipeline.md tells more.",
            "",
            "# A new name, or one that has questions already: only what is missing is made.",
            f"dataset: {_scalar(wishes.dataset)}",
            "",
            *(_mix(wishes) if Stage.GENERATE in wishes.stages else NO_MIX),
            "",
            *_stages(wishes.stages),
            "",
            *BUDGET,
            *(GENERATING if Stage.GENERATE in wishes.stages else ()),
        ]
    )
    parse_spec(yaml.safe_load(text))
    return text + "\n"


def share_out(questions: int, domains: Sequence[str]) -> Mapping[str, int]:
    """So many questions for each domain that they differ by at most one."""
    each, more = divmod(questions, len(domains)) if domains else (0, 0)
    return {name: each + (number < more) for number, name in enumerate(domains)}


def _mix(wishes: Wishes) -> list[str]:
    answered = Stage.ANSWER in wishes.stages
    easy, hard = (f", answer_tokens: {tokens}" if answered else "" for tokens in (60, 900))
    rows = share_out(wishes.questions, wishes.domains).items()
    return [
        "mix:",
        "  domains:                # how many questions of each; the totals are met exactly",
        *(f"    {_scalar(name)}: {count}" for name, count in rows),
        "  difficulties:           # any names; the token shares add up to 1",
        f"    easy: {{token_share: 0.6, mean_tokens: 15{easy}}}",
        f"    hard: {{token_share: 0.4, mean_tokens: 750{hard}}}",
        "  # measure: prompt       # the tokens that the shares are about: prompt, completion or total",
        "  # means: fixed          # measured: follow the lengths that models really write, and plan again",
        "  # scope: global         # domain: each domain has the shares by itself",
        "  # minimum: {hard: 1}    # at least so many of a difficulty in each domain",
        *(f"  # mean_tokens: {{{_scalar(name)}: {{hard: 500}}}}   # a domain's own lengths" for name, _ in [*rows][:1]),
    ]


NO_MIX = [
    "# Without a mix the job takes the dataset's questions as they are: import them first with",
    "#   ./run questmill import DATASET FILE",
]


def _stages(stages: Sequence[Stage]) -> list[str]:
    lines = [f"stages: [{', '.join(stages)}]   # in this order: generate, validate, answer"]
    # A job that generates nothing knows its difficulties only when it is planned.
    lines += [
        "# models:                 # left out, they are chosen from the providers whose keys the workers have",
        *(f"#   {stage}: {{easy: openai/gpt-6-luna, hard: anthropic/claude-sonnet-5-5}}" for stage in stages),
    ]
    if Stage.VALIDATE in stages:
        lines.append(
            "# judging: {votes: 1, least: 3}       # verdicts per question; the lowest score, of 1 to 5, that will do"
        )
    if Stage.ANSWER in stages:
        lines.append(
            "# answering: {samples: 1, tries: 3}   # answers per model; useless calls before a question is given up"
        )
    lines.append("# mode: live              # bulk: half the price, within a day; or by stage: {validate: bulk}")
    return lines


BUDGET = [
    '# budget_usd: "5.00"      # a wall: the job pauses before it would cross it; left out, 1.5 times the forecast,',
    "#                           of a small job at least the forecast and what twenty of its dearest calls may cost",
    "# seed: 2025              # the same seed, spec and baseline give the same plan, prompts and order",
]
GENERATING = [
    "# questions_per_call: {easy: 20, hard: 2}",
    "# surplus: subsample      # keep: questions that are there beyond a target stay selected",
    "# gates: {language: false}   # turns a rule on a question's form off: docs/gates.md",
    "# novelty: {template_cap: 5}   # so many questions may differ in nothing but their numbers",
]


def _scalar(name: str) -> str:
    """A name as YAML reads it back: `no` and `1` are not strings there."""
    if PLAIN.fullmatch(name) and yaml.safe_load(name) == name:
        return name
    return yaml.safe_dump(name, default_style='"', allow_unicode=True, width=1 << 20).strip()
