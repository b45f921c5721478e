from shared.questions.gates.parsed_question import ParsedQuestion


def asked(text: str, domain: str = "reasoning", *, tokens: int = 15, mean_tokens: int = 15) -> ParsedQuestion:
    return ParsedQuestion(text, domain, tokens, mean_tokens)
