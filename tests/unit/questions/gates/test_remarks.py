import pytest

from shared.planning.mix import Cell
from shared.questions.atlas import atlas_for
from shared.questions.gates.remarks import PROMPT_LABELS, PROMPT_PHRASES, has_placeholder, is_refusal, leaks_prompt
from shared.questions.prompts import Prompt, draw_tuple, write_prompt
from tests.unit.questions.gates.asked import asked

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I\u2019m sorry, but I can\u2019t assist with that request.",
    "I am sorry, I cannot fulfill this request.",
    "Sorry, I can't create questions about this topic.",
    "I apologize, but I am unable to provide content on explosives.",
    "Unfortunately, I cannot generate questions that involve medication doses.",
    "I cannot write such questions.",
    "I'm unable to answer that.",
    "I won't help with requests of this kind.",
    "I must decline to write questions about weapons.",
    "I'm afraid I can't do that.",
    "I do not feel comfortable writing questions on this topic.",
    "I must respectfully decline this request.",
    "It would not be appropriate for me to write questions about this.",
    "I'm sorry, but as an AI I can't share that.",
    "I cannot in good conscience produce this.",
    "This topic is sensitive. I can't provide questions about it.",
    "As requested I looked at the brief, but I am not able to generate the questions.",
]
NO_REFUSALS = [
    "I can't find my card, what should I do?",
    "Sorry, I can't log in. Can you help me reset my password?",
    "i cannot help laughing at this clip, who is in it",
    'Write a story that begins with the words "I can\'t answer that request."',
    "A bot replies 'I cannot fulfil this request' to a customer. What went wrong?",
    "I cannot complete the puzzle: what number comes after 2, 4 and 8?",
    "It is appropriate for me to tip, so how much are 15% of $40",
    "Unfortunately, the train was late. When did it arrive?",
    "Why can I not divide by zero?",
    "Rewrite as a polite letter: we cannot provide the content that you asked for.",
]
LEAKS = [
    "As an AI language model, I think a question could be: what is 2 + 2?",
    "As an AI, I do not have personal preferences, but which pet suits a small flat?",
    "As a large language model, I was not trained on this.",
    "My training data ends in 2024, so who won the cup before that?",
    "Here are 20 questions about fractions:",
    "Sure! Here are the questions you asked for:\n\nWhat is 2 + 2?",
    "Certainly, here is a question about photosynthesis: what gas do plants take in?",
    "Below are five easy math questions.",
    "Topic: fractions",
    "Difficulty: easy. What is 3 + 4?",
    "I hope these questions help!",
    "Okay, here's another question on the same subtopic: what is 3 + 4?",
    "Domain: math\nTopic: fractions\nSubtopic: adding unlike denominators",
    "**Subtopic**: adding unlike denominators",
    "Topic: fractions\nDifficulty: easy\nWhat is 1/2 + 1/3?",
    '{"questions": ["What is 2 + 2?"',
    "What is 3 + 4? Let me know if you would like more questions!",
]
NO_LEAKS = [
    "As an AI researcher, how would you test a chatbot for bias?",
    "Act as an AI assistant for a hotel and answer a guest who lost her key.",
    "As an AI tutor, explain to a child why the sky is blue.",
    "Which is the better language model for short texts: a trigram or a unigram model?",
    "Write an essay.\nTopic: school uniforms\nLength: 300 words\nSetting: a village school",
    "Topic: school uniforms. Write an essay of 300 words for and against them.",
    "Here are three boxes, of which one holds a coin. Which questions would you ask?",
    "Here are two questions, which is harder: 3 + 4 or 3 x 4?",
    "Sure or unsure: can a square be a rectangle?",
    'What does this JSON hold: {"answers": [1, 2]}?',
    "The setting: a bakery. Include: 3 loaves. How many halves are there?",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refuses_a_model_that_declines(text: str) -> None:
    assert is_refusal(asked(text))


@pytest.mark.parametrize("text", NO_REFUSALS)
def test_people_who_cannot_do_something_are_no_refusal(text: str) -> None:
    assert not is_refusal(asked(text))


@pytest.mark.parametrize("text", LEAKS)
def test_refuses_what_speaks_of_the_task(text: str) -> None:
    assert leaks_prompt(asked(text))


@pytest.mark.parametrize("text", NO_LEAKS)
def test_lets_roles_briefs_and_questions_about_models_pass(text: str) -> None:
    assert not leaks_prompt(asked(text))


def written_prompt(mean_tokens: int) -> Prompt:
    atlas = atlas_for("math")
    drawn = draw_tuple(atlas, 2025, Cell("math", "easy"), 3)
    return write_prompt(atlas, drawn, questions=20, mean_tokens=mean_tokens, avoid=["What is 2 + 2?"])


def test_labels_and_phrases_are_those_of_the_prompt_as_it_is_written() -> None:
    prompt = written_prompt(15)
    facts = prompt.user.split("\n\n")[0].splitlines()
    assert {line.partition(":")[0].lower() for line in facts} == PROMPT_LABELS
    written = f"{prompt.system}\n{prompt.user}"
    for phrase in PROMPT_PHRASES:
        assert phrase in written, "the prompt was reworded: find its echo by the new words"


@pytest.mark.parametrize("mean_tokens", [15, 100, 750])
def test_any_half_of_the_prompt_is_a_leak(mean_tokens: int) -> None:
    prompt = written_prompt(mean_tokens)
    half = len(prompt.user) // 2
    for text in (prompt.user, prompt.user[:half], prompt.user[half:], prompt.system):
        assert leaks_prompt(asked(text))


@pytest.mark.parametrize(
    "text",
    [
        "Read the text and answer: [insert passage here] Who is late?",
        "Summarise: [Passage]",
        "[Passage goes here] Who is the narrator?",
        "What is the bug in this code: [code snippet]?",
        "{question_text}",
        "Translate <insert your text here> into French.",
        "What is wrong with {add code here}?",
        "[Please provide the article] What is its main idea?",
    ],
)
def test_refuses_places_left_to_be_filled(text: str) -> None:
    assert has_placeholder(asked(text))


@pytest.mark.parametrize(
    "text",
    [
        "Fill in the blank: a cat has ____ legs.",
        "Write a letter to [Name] that ends with [Signature].",
        "What does `items[index]` return for index = -1?",
        "What does vector<string> hold?",
        'Read a line with the prompt "<Your name here>" in bash.',
        "f-strings: what does {name!r} print?",
        "Evaluate [3 + 4] x {2}.",
        "What does counts[text] hold after the loop?",
        "In Markdown, what does [text](address) make?",
    ],
)
def test_lets_blanks_templates_and_code_pass(text: str) -> None:
    assert not has_placeholder(asked(text))
