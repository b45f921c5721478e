# ruff: noqa: RUF001 - questions in many scripts
import pytest

from shared.questions.gates.language import is_another_language
from tests.unit.questions.gates.asked import asked

FOREIGN = [
    "Was ist die Hauptstadt von Frankreich?",
    "Wie viele Äpfel hat Anna, wenn sie drei von acht verschenkt?",
    "Quelle est la capitale de la France ?",
    "Combien de pommes reste-t-il dans le panier ?",
    "¿Cuál es la capital de Francia?",
    "¿Cuántas manzanas quedan en la cesta si se comen tres?",
    "Qual é a capital da França e por que ela é famosa?",
    "Qual è la capitale della Francia?",
    "Wat is de hoofdstad van Frankrijk en hoeveel mensen wonen er?",
    "Jaka jest stolica Francji i ile osób w niej mieszka?",
    "Vad är huvudstaden i Frankrike och hur många bor där?",
    "Hvad er hovedstaden i Frankrig, og hvor mange bor der?",
    "Fransa'nın başkenti nedir ve nüfusu ne kadar?",
    "Apa ibu kota Prancis dan berapa jumlah penduduknya?",
    "Care este capitala Franței și câți locuitori sunt în oraș?",
    "Mikä on Ranskan pääkaupunki ja kuinka monta asukasta siellä on?",
    "Thủ đô của Pháp là gì và có bao nhiêu người?",
    "Wer schrieb den Faust?",
    "Welke rivier stroomt door Rotterdam?",
    "Která řeka protéká Prahou?",
    "Столица какой страны стоит на Сене?",
    "法国的首都是哪里？",
    "关于glide reflections，最重要的规则是什么？",
    "フランスの首都はどこですか？",
    "프랑스의 수도는 어디입니까?",
    "ما هي عاصمة فرنسا؟",
    "פריז היא בירת איזו מדינה?",
    "फ्रांस की राजधानी क्या है?",
    "เมืองหลวงของฝรั่งเศสคืออะไร",
    "Ποια χώρα έχει πρωτεύουσα το Παρίσι;",
]

ENGLISH = [
    "What is the capital of France?",
    "Translate 'Wo ist der Bahnhof und wie komme ich dahin?' into English.",
    "Translate the following into English: 今天天气很好，我们去公园玩吧，你觉得怎么样？",
    "Translate 你好世界 to English.",
    "Define the word 'перестройка'.",
    "What does the Latin phrase 'de facto' mean?",
    "Was Lorenzo de Medici's patronage of Da Vinci exclusive?",
    "La Liga winners by year",
    "Los Angeles weather",
    "el niño effects",
    "who painted las meninas",
    "Add bert mccracken to lo que suena new york playlist",
    "Rewrite in the passive: Der Hund beißt den Mann.",
    "∫ x² dx = ?",
    "Sei α + β = π, find γ.",
    "SELECT name FROM el WHERE id = 1",
    "x = lambda la: la + 1",
    "Define entropy.",
    "Simplify $\\frac{3}{4} + \\frac{1}{8}$.",
    "Summarise in five words: der die das und ist nicht ein eine that was the text you have.",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_refuses_questions_in_other_languages(text: str) -> None:
    assert is_another_language(asked(text))


@pytest.mark.parametrize("text", ENGLISH)
def test_lets_english_tasks_about_anything_pass(text: str) -> None:
    assert not is_another_language(asked(text))


def test_long_material_in_another_language_needs_an_english_task_at_one_end() -> None:
    passage = "Der Fluss ist breit, und das Wasser ist nicht kalt. " * 60
    assert is_another_language(asked(passage))
    assert not is_another_language(asked("Summarise the following text for your students:\n" + passage))
    assert not is_another_language(asked(passage + "\nWhat does the author say about the water, and why?"))
