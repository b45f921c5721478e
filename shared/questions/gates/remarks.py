"""What a model says about its task instead of doing it: refusals, echoes of the prompt, places left to be filled."""

import re

from shared.questions.gates.parsed_question import ParsedQuestion

HEAD_CHARACTERS = 400
"""Within so many a refusal or a remark before the question begins."""
FIRST_CHARACTERS, LAST_CHARACTERS = 1500, 300
"""Within so many, at the beginning and the end of a text, an echo of the prompt is looked for."""

_SORRY = (
    r"(?:(?:I['\u2019]m|I am) (?:very |really |so )?sorry|[Ss]orry|I apologi[sz]e|[Mm]y apologies|[Uu]nfortunately)"
)
_CANNOT = (
    r"(?:['\u2019]m| am|['\u2019]d| would)? (?:can ?not|can['\u2019]t|won['\u2019]t|will not|must decline to"
    r"|have to decline to|not able to|unable to|rather not|(?:do not|don['\u2019]t) feel comfortable|not comfortable)"
)
_DO = (
    r"(?:assist|help|comply|fulfil|provid|generat|creat|produc|writ|answer|continue|complete|discuss|respond|engage"
    r"|share|do th(?:at|is)\b)"
)
_DECLINES_FIRST = re.compile(
    rf"\W*(?:{_SORRY}[,.;:]? (?:but )?(?:as an AI[\w ]{{0,20}},? )?|I['\u2019]m afraid )?"
    rf"I{_CANNOT} (?:in good conscience |\w+ )?{_DO}"
    r"|\W*I must (?:\w+ )?decline"
    r"|\W*It(?: would not be | would be in|['\u2019]s (?:not |in)| is (?:not |in))appropriate for me to"
)
_DECLINES_QUESTIONS = re.compile(
    rf"I(?<![\w'\"\u2018\u201c]I){_CANNOT} (?:\w+ ){{0,2}}{_DO}\w* (?:\w+ ){{0,3}}(?:request|questions|content)\b"
)
# Somebody who asks for help writes in the first person, too.
_ASKS = re.compile(r"\?|\bhelp me\b|\bplease\b|\btell me\b", re.IGNORECASE)

PROMPT_LABELS = frozenset(
    {"domain", "topic", "subtopic", "form", "setting", "include", "difficulty", "length", "questions"}
)
"""What the lines of a prompt begin with; a test holds them against the prompt as it is written."""
# The others stand in questions, too: a brief gives a topic, a setting and a length.
_ONLY_IN_PROMPTS = frozenset({"domain", "subtopic", "form", "difficulty", "questions"})
_FIRST_LINE = re.compile(r"\W{0,4}(?:(?:Topic|Setting|Form): [^.?!\n]*\Z|(?:Domain|Subtopic|Difficulty)(?:\*\*)?: )")
PROMPT_PHRASES = (
    "Avoid repeating these:",
    "Length matters: each question",
    "Each takes a different angle on the subtopic",
    "Vary the opening words, the build of the sentences",
    "keep the subtopic and bend the form",
    "The setting is a backdrop",
    "What is listed to include is raw material",
    "Do not repeat this brief",
    "Every question stands alone",
    "Reply with one JSON object",
    "You write questions for a data set",
    '"questions": [',
)
"""Phrases of the prompt that no question has by chance; a test holds them against the prompt as it is written."""
_LEAD_IN = re.compile(
    r"\W*+(?:(?:sure|certainly|of course|absolutely|okay|great)\b[^\n]{0,30}?)?"
    r"\b(?:here (?:is|are)|here['\u2019]s|below (?:is|are)|the following (?:is|are)) "
    r"(?:\w+ ){0,4}?(?:\d+|the|your|some|an?|another|my|five|ten|twenty) (?:[\w-]+ ){0,4}questions?\b"
    r"[^?\n]{0,80}(?:[:.!\n]|\Z)",
    re.IGNORECASE,
)
_AS_A_MODEL = re.compile(
    r"[Aa]s an? (?:AI|artificial intelligence|(?:large )?language model)(?: (?:language )?(?:model|assistant))?, I\b"
    r"|[Mm]y (?:training data|knowledge cut-?off)\b"
    r"|[Hh]ope (?:this question|these questions) (?:help|meet|work|suit)"
    r"|[Ll]et me know if you(?:['\u2019]d| would)? (?:like|want|need)"
    r" (?:more|another|other|different) (?:\w+ )?questions"
)
_MODEL_WORDS = (
    "s an AI",
    "rtificial intelligence, I",
    "language model",
    "y training data",
    "y knowledge cut",
    "et me know",
    "ope this question",
    "ope these questions",
)
_PLACEHOLDER = re.compile(
    r"[\[<{](?:please )?(?:insert|add|paste|place|put|provide) (?:[\w'-]+ ){0,8}?"
    r"(?:here|passage|text|article|question|code|table|topic|name of [\w ]{1,20})[\]>}]"
    r"|\[[\w ]{1,40} (?:goes )?here\]"
    # Neither an index, `counts[text]`, nor a link, "[text](...)".
    r"|(?<![\w)\]])\[(?:passage|text|article|question(?: text| \d+)?|topic|subtopic|content|code snippet)\](?!\()"
    r"|\{(?:question_text|passage|subtopic)\}",
    re.IGNORECASE,
)


def is_refusal(question: ParsedQuestion) -> bool:
    """Refuses "I'm sorry, but I can't help with that." and "I cannot write such questions.": a model that declines.

    Not refused: people with a problem ("I can't find my card, what now?"), and questions that quote a refusal.
    """
    head = question.text[:HEAD_CHARACTERS]
    if _DECLINES_FIRST.match(head):
        return not _ASKS.search(question.text)
    return bool(_DECLINES_QUESTIONS.search(head))


def leaks_prompt(question: ParsedQuestion) -> bool:
    """Refuses what speaks of the task: "As an AI, I ...", "Here are 20 questions:", lines and phrases of the prompt.

    Not refused: questions about AI, briefs that state a topic or a length, and roles ("As an AI researcher, ...").
    """
    text = question.text
    if len(text) > FIRST_CHARACTERS + LAST_CHARACTERS:
        text = f"{text[:FIRST_CHARACTERS]}\n{text[-LAST_CHARACTERS:]}"
    if _FIRST_LINE.match(text) or _LEAD_IN.match(text) or any(phrase in text for phrase in PROMPT_PHRASES):
        return True
    if any(words in text for words in _MODEL_WORDS) and _AS_A_MODEL.search(text):
        return True
    return ": " in text and _has_prompt_lines(text)


def _has_prompt_lines(text: str) -> bool:
    names = (line[:16].partition(": ")[0].strip("*#- ").lower() for line in text.split("\n"))
    labels = PROMPT_LABELS.intersection(names)
    return "subtopic" in labels or (len(labels) > 1 and not labels.isdisjoint(_ONLY_IN_PROMPTS))


def has_placeholder(question: ParsedQuestion) -> bool:
    """Refuses "[insert passage here]" and its like: a place that was to be filled.

    Not refused: blanks to fill in (____), and brackets that belong to code or to a template asked for ("[Name]").
    """
    text = question.text
    return ("[" in text or "<" in text or "{" in text) and _PLACEHOLDER.search(text) is not None
