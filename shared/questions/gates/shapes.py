"""What questions of a domain need to have, whatever they ask. Domains with other names are not looked at."""

import re

from shared.questions.gates.parsed_question import ParsedQuestion

PASSAGE_WORDS, PASSAGE_CHARACTERS = 40, 400
"""A text of fewer words and characters has no room for a passage, unless it quotes one."""

_TOOL_DOMAINS = frozenset({"tool use", "tool calling", "function calling"})
_READING_DOMAINS = frozenset({"reading", "reading comprehension", "summarization", "summarisation"})

# A name as code writes it, an address, or a word for what can be called, asked or run.
_TOOL = re.compile(
    r"`|\w_\w|\b[A-Za-z]\w*\(|https?://|\w\.(?:com|org|io|py|sh|js|json|csv|txt)\b"
    r"|\b(?:tool|function|api|command|endpoint|plug-?in|librar|package|module|method|model|argument|parameter|quer(?:y|ies)"
    r"|call|request|agent|assistant|bot|chatbot|service|server|database|app|application|software|script|terminal|shell"
    r"|browser|search|calculator|converter|calendar|e-?mail client|spreadsheet|gateway|interpreter)",
    re.IGNORECASE,
)

_REFERENCE = re.compile(
    r"\b(?:(?:the|this) (?:(?:following|above|given|provided) )?(?:passage|excerpt|paragraph|article|text)"
    r"|(?:the|this) (?:following|above|given|provided) (?:\w+ )?"
    r"(?:story|poem|report|letter|sentence|abstract|transcript)"
    r"|(?:passage|excerpt|paragraph|article|text|story|poem|report|letter|abstract|transcript) (?:above|below))\b",
    re.IGNORECASE,
)
_QUOTED = re.compile('["\u201c\u201e\'\u2018\u00ab(:\n-]\\s*(?:[^\\s"\u201d]+\\s+){2,}[^\\s"\u201d]+')


def lacks_tool(question: ParsedQuestion) -> bool:
    """Refuses a tool-use question that names nothing to call or run: no tool, function, API, command, assistant.

    It also refuses requests that leave the choice of a tool to the reader ("What is the weather in Oslo?"), which are
    most of the real ones; so it is off unless a job wants its tools in the question.
    """
    return question.domain in _TOOL_DOMAINS and not _TOOL.search(question.text)


def lacks_passage(question: ParsedQuestion) -> bool:
    """Refuses a reading or summarization question of under 40 words about a passage that is not there.

    Not refused: a text that is quoted or follows a colon, and questions about works that everybody can look up.
    """
    text = question.text
    if question.domain not in _READING_DOMAINS or len(text) > PASSAGE_CHARACTERS or text.count(" ") >= PASSAGE_WORDS:
        return False
    return _REFERENCE.search(text) is not None and not _QUOTED.search(text)
