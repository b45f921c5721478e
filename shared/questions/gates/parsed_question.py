from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParsedQuestion:
    """A question as a reply gave it, with what a rule may look at.

    `domain` is folded; `tokens` are the text's own, `mean_tokens` what its cell asks for.
    """

    text: str
    domain: str
    tokens: int
    mean_tokens: int
