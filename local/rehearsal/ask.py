"""What a prompt asks for, read from its `Name: value` lines; anything else in the prompt is not looked at."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_LINE = re.compile(r"^(Domain|Topic|Subtopic|Form|Setting|Include|Length|Questions): (.*)$", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_GIVEN = re.compile(r'\n<question number="(\d{1,6})">((?:\n(?!</question>).*)*)\n</question>')
_AVOID = re.compile(r"^Avoid repeating these:\n((?:- .*(?:\n|$))*)", re.MULTILINE)
DEFAULT_QUESTIONS = 5
DEFAULT_MEAN_TOKENS = 15.0
MOST_QUESTIONS = 200
MOST_MEAN_TOKENS = 20_000.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for `questions` questions of about `mean_tokens` tokens each, or about the `given` ones, by number."""

    domain: str
    topic: str
    subtopic: str
    form: str
    setting: str
    include: str
    mean_tokens: float
    questions: int
    avoid: frozenset[str]
    given: Mapping[int, str] = field(default_factory=dict)

    @property
    def pieces(self) -> tuple[str, ...]:
        """What is listed to include, one by one."""
        return tuple(piece for each in self.include.split(";") if (piece := each.strip()))


def read_ask(user: str) -> Ask | None:
    """The ask of a user message; None when the message has neither a domain nor a topic line.

    Blind to seeds, ordinals and ids on purpose: two prompts that name the same topic get questions of the same pool.
    """
    head, tag, given = user.partition('\n<question number="')
    lines: dict[str, str] = {}
    for name, value in _LINE.findall(head):
        lines.setdefault(name, value.strip())  # the first one counts: later lines may quote questions
    topic = lines.get("Topic") or lines.get("Subtopic") or lines.get("Domain")
    if topic is None:
        return None
    avoid = _AVOID.search(head)
    return Ask(
        domain=lines.get("Domain", topic),
        topic=topic,
        subtopic=lines.get("Subtopic") or topic,
        form=lines.get("Form", ""),
        setting=lines.get("Setting", ""),
        include=lines.get("Include", ""),
        mean_tokens=min(max(_number(lines.get("Length"), DEFAULT_MEAN_TOKENS), 1.0), MOST_MEAN_TOKENS),
        questions=int(min(max(_number(lines.get("Questions"), DEFAULT_QUESTIONS), 1), MOST_QUESTIONS)),
        avoid=frozenset(line[2:].strip() for line in avoid.group(1).splitlines()) if avoid else frozenset(),
        given={int(number): text[1:] for number, text in _GIVEN.findall(tag + given)},
    )


def _number(value: str | None, default: float) -> float:
    match = _NUMBER.search(value.replace(",", "")) if value else None
    return float(match.group()) if match else default
