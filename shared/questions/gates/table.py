"""All gates by name, in the order in which they look at a question. docs/gates.md says what each was measured at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shared.questions.gates import answers, endings, language, length, markup, remarks, shapes
from shared.questions.gates.parsed_question import ParsedQuestion


@dataclass(frozen=True, slots=True)
class Gate:
    """A rule on the form of a question. `name` is its switch in a job spec and the reason that users see counted."""

    name: str
    refuses: Callable[[ParsedQuestion], bool]
    on: bool = True


def _by_name(*gates: Gate) -> Mapping[str, Gate]:
    return MappingProxyType({gate.name: gate for gate in gates})


GATES = _by_name(
    # Before all others, which read the text: what is far too long is read no further.
    Gate("too short", length.is_too_short),
    Gate("too long", length.is_too_long),
    Gate("refusal", remarks.is_refusal),
    Gate("prompt leak", remarks.leaks_prompt),
    Gate("placeholder", remarks.has_placeholder),
    Gate("answer included", answers.includes_answer),
    Gate("unfinished", endings.is_unfinished),
    Gate("open code fence", markup.has_open_fence),
    Gate("broken latex", markup.has_broken_latex),
    Gate("no passage", shapes.lacks_passage),
    Gate("no tool", shapes.lacks_tool, on=False),
    Gate("language", language.is_another_language),
)


def switch_gates(switches: Mapping[str, bool]) -> dict[str, bool]:
    """Every gate's name with whether it is on: as `switches` say, else by default. Unknown names are left out."""
    return {name: switches.get(name, gate.on) for name, gate in GATES.items()}


def gates_on(switches: Mapping[str, bool]) -> tuple[Gate, ...]:
    """The gates that a job's `switches` leave on, in their order."""
    return tuple(gate for gate in GATES.values() if switches.get(gate.name, gate.on))
