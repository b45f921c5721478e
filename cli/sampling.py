"""`questmill sample`: questions drawn at random, as a person reads them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from cli.arguments import AsJson, Dataset
from cli.resolve import read_cell
from cli.tables import REHEARSAL
from cli.terminal import open_client, print_answer
from cli.wording import count, harmless, name_criterion
from shared.database.states import QuestionState
from shared.money import format_usd

STATE_STYLE = {"selected": "green", "reserve": "yellow", "discarded": "red", "rejected": "red"}
INDENT = (0, 0, 0, 2)


def sample(  # noqa: PLR0917 - typer passes every argument by name
    dataset: Dataset,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, max=1000, help="How many questions.")] = 20,
    cell: Annotated[str | None, typer.Option(metavar="DOMAIN/DIFFICULTY", help="Only of this cell.")] = None,
    state: Annotated[QuestionState | None, typer.Option(help="Only in this state.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draw what this seed drew before; the seed is printed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show questions drawn at random, each with its verdict, answer, cost and provenance."""
    domain, difficulty = read_cell(cell) if cell else (None, None)
    wanted: dict[str, str | int | None] = {"domain": domain, "difficulty": difficulty, "state": state and state.value}
    with open_client() as client:
        drawn = client.sample(dataset, n=n, seed=seed, **wanted)
    print_answer(drawn, sample_view(drawn), as_json=as_json)


def sample_view(drawn: Mapping[str, Any]) -> RenderableType:
    """The questions one under the other; their text as it is, Markdown and LaTeX included."""
    items = drawn["items"]
    parts: list[RenderableType] = []
    for number, item in enumerate(items, 1):
        parts += _question(number, item)
    if any(item["rehearsal"] for item in items):
        parts.append(Text(REHEARSAL, style="yellow"))
    again = f"; --seed {drawn['seed']} draws the same again" if items else ""
    parts.append(Text(f"{len(items):,} of {count(drawn['among'], 'question')} of {drawn['dataset']}{again}"))
    return Group(*parts)


def _question(number: int, item: Mapping[str, Any]) -> Iterator[RenderableType]:
    title = Text(f"{number}. {item['domain']}/{item['difficulty']} ").append(
        item["state"], STATE_STYLE.get(item["state"], "")
    )
    yield Rule(title.append(f" (question {item['id']})"), align="left", style="dim")
    yield _indented(item["question"])
    if item["reason"]:
        yield Text(f"reason: {harmless(item['reason'])}", style="red")
    yield from _judgement(item)
    if item["answer"] is not None:
        yield Text(f"answer by {item['answer_model']}, {_tokens(item)}{_checked(item)}{_beside(item)}:")
        yield _indented(item["answer"])
    yield Text(_cost(item["cost_usd"]), style="dim")
    yield Text(harmless(_origin(item)), style="dim")
    yield Text()


def _judgement(item: Mapping[str, Any]) -> Iterator[RenderableType]:
    verdicts = item["verdicts"]
    if not verdicts:
        if item["verdict"]:
            yield Text(f"verdict: {item['verdict']}, by a person")
        return
    accepting = sum(each["accepted"] for each in verdicts)
    scores = ", ".join(
        f"{name_criterion(name)} {score:g}" for name, score in item["scores"].items() if score is not None
    )
    overruled = item["verdict"] == "accepted" and 2 * accepting <= len(verdicts)
    told = "accepted by a person" if overruled else item["verdict"] or "open"
    yield Text(f"verdict: {told}; accepted by {accepting} of {count(len(verdicts), 'judge')}; {scores}")
    for each in verdicts:
        if each["reason"]:
            yield _indented(f"{each['model']}: {each['reason']}")


def _tokens(item: Mapping[str, Any]) -> str:
    return "? tokens" if item["completion_tokens"] is None else count(item["completion_tokens"], "token")


def _checked(item: Mapping[str, Any]) -> str:
    return f", checked: {item['checked']['name']}" if item["checked"] else ""


def _beside(item: Mapping[str, Any]) -> str:
    return f"; the first of {item['answer_count']:,}" if item["answer_count"] > 1 else ""


def _cost(costs: Mapping[str, Any]) -> str:
    if costs["total"] is None:
        return "cost: no longer known, the ledger is archived"
    stages = ", ".join(f"{name} {format_usd(usd)}" for name, usd in costs.items() if name != "total" and float(usd))
    return f"cost: {format_usd(costs['total'])}{f' ({stages})' if stages else ''}"


def _origin(item: Mapping[str, Any]) -> str:
    if item["call_id"] is None:
        return "from: baseline"
    named = {"topic": item["topic"], "prompt": item["prompt_version"], "call": item["call_id"]}
    return f"from: {item['model']}" + "".join(f", {name} {value}" for name, value in named.items() if value)


def _indented(text: str) -> RenderableType:
    # Not as wide as a pipe; and rich takes a tab for one character when it measures.
    return Padding(Text(harmless(text).expandtabs()), INDENT, expand=False)
