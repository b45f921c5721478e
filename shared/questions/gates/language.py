# ruff: noqa: RUF001 - letters that look like others are what this file is about
"""Whether a text is clearly in another language than English, by its script and its most common words.

A rule, not a model. Measured against the alternatives: py3langid needs 104 MB more in every worker, takes 93 us a
question and calls 1.6 % of 4,000 real short English questions something else; lingua is a wheel of 96 MB.
"""

import re

from shared.questions.gates.parsed_question import ParsedQuestion

# A question names its task at its beginning or its end; what lies between may be material in any language.
HEAD_CHARACTERS = 400
TAIL_CHARACTERS = 300
ENGLISH_ENOUGH = 3
FOREIGN_ENOUGH = 2

_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[a-z\u00c0-\u024f\u1e00-\u1eff]")
# Letters of other scripts. Of Greek only words, since mathematics borrows its letters.
_OTHER_SCRIPT = re.compile(
    "[\u0400-\u1dff\u2c80-\u2dff\u3040-\u318f\u31a0-\u31ff\u3400-\ua4cf\uac00-\ud7af]|[\u0370-\u03ff\u1f00-\u1fff]{3,}"
)

# Words that are common in no language below.
_ENGLISH = frozenset(
    """
    about add after all also and another any are because been before being best between both but by can choose compare
    could create define describe did does each english every explain find first following from get give given has have
    help her his how if into it its know like list make many may mean meaning more most much my name need new not only
    other out play put rewrite sentence she should show some summarize tell text than that the their them then there
    these they this those through translate two use used using want what when where which while who whose why will with
    word words would write you your
    """.split()  # noqa: SIM905 - read as text
)
# English too, but also words or names of other languages; they only speak against a doubtful verdict.
_SHARED = frozenset("a an as at do for had i in is me my no of on or over so to was we".split())  # noqa: SIM905
_FOREIGN = {
    "Czech": "je se na že jak co kde kdo který která které proč kolik nebo jsou aby při podle byl byla jako jaký jaká",
    "Danish, Norwegian": "og er ikke til det af som på en et hvad hvordan hvor hvem hvorfor hvilken hvilke hva med kan"
    " ikkje eller blir fra"
    " tre fire mange beskriv mellem mellom hvad",
    "Dutch": "het een van en de dat niet op te voor met zijn wat hoe welke waarom waar wie hoeveel naar bij ook uit"
    " worden wordt deze dit als heeft geef noem schrijf"
    " drie vier vijf keer bereken beschrijf verschil tussen bij welk",
    "Finnish": "ja ei mikä mitä miten missä kuka kuinka oli että ovat miksi milloin joka tai kun mukaan kirjoita",
    "French": "le la les un une des du de et est sont dans pour sur avec par que qui quel quelle quels quelles combien"
    " pourquoi où ce cette ces il elle je vous nous au aux ne pas plus donnez écrivez expliquez"
    " fois trois quatre entre fonction donne nommez décris explique citez",
    "German": "der das und ist nicht ein eine einen einem einer mit für von zu auf wie wird wurde sind dem des wer"
    " welche welcher welches wenn warum wieviel viele oder auch aus bei nach über sie er es ich wir hat haben kann"
    " erkläre schreibe nenne"
    " zwei drei vier fünf mal ergibt berechne beschreibe unterschied zwischen welchen am vom zum zur sich",
    "Hungarian": "az és hogy nem egy hol miért mennyi milyen hány ki mi van volt melyik mint vagy írj",
    "Indonesian, Malay": "yang dan di dari untuk dengan adalah ini itu apa bagaimana mengapa siapa berapa tidak pada"
    " ke atau sebuah tulis jelaskan",
    "Italian": "il lo la gli le di del della dei delle che è un una per con non sono come quale quali quanto quanti"
    " dove perché chi cosa nel nella si da al scrivi spiega"
    " tre quattro calcola descrivi tra nella due",
    "Polish": "w na z się nie jest że jak co jaki jaka jakie ile gdzie kto dlaczego oraz dla czy po przez od który"
    " która które napisz wyjaśnij"
    " trzy cztery oblicz opisz wynosi suma między",
    "Portuguese": "os de da dos das que é um uma em na nos nas por para com não se qual quais como onde quem quanto"
    " quantos são foi mais ou mesmo escreva explique"
    " três quatro calcule descreva lados entre",
    "Romanian": "și este în nu la care pentru cu ce cât unde un o din sunt de pe cum cine scrie explică",
    "Spanish": "el la los las de del y es un una que qué en por para con se su sus como cómo cuál cuáles cuánto cuántos"
    " cuántas dónde quién cuando está son lo al más entre tiene explica escribe"
    " tres cuatro lados describe calcula nombra escriba entre",
    "Swedish": "och att det som är en ett på av för med till inte om vad hur vilken vilka vem varför eller skriv"
    " två tre fyra beskriv mellan många",
    "Turkish": "ve bir bu için ile nasıl nedir neden hangi kaç mi mı olan daha çok ne kadar yaz açıkla"
    " iki üç dört beş eder edilir nelerdir hangisi",
    "Vietnamese": "là của và có một những các không được cho người trong gì nào bao nhiêu hãy viết",
}
# Words that open a question and are no name: one of them tells the language of a text without any English word.
_OPENERS = frozenset(
    """
    wer wen wann welche welcher welches warum wieviel quel quelle quels quelles combien pourquoi où qué cuál cuáles
    cuándo cuánto cuántos cuántas dónde quién quanto quanti quale quali dove perché quem onde welke waarom wanneer
    hoeveel vilken vilka vilket vem varför när hvem hvilken hvilke hvor hvorfor hvornår kto jaka jaki jakie gdzie kiedy
    hangi kaç nasıl neden nerede bagaimana siapa berapa kapan milyen hány miért mikä kuka missä kuinka která který které
    kdo kde proč kolik unde cine cât câți
    """.split()  # noqa: SIM905 - read as text
)
_BY_LANGUAGE = tuple(frozenset(words.split()) - _ENGLISH - _SHARED for words in _FOREIGN.values())
_ANY_FOREIGN = frozenset().union(*_BY_LANGUAGE)


def is_another_language(question: ParsedQuestion) -> bool:
    """Refuses a text that is clearly not English: most letters of another script, or the small words of a language.

    Not refused: English tasks about foreign material ("Translate 'où est la gare' ..."), foreign names and titles,
    code and formulas. Not noticed: languages in Latin script that are not listed, and short texts of rare words.
    """
    text = question.text
    if len(text) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        text = f"{text[:HEAD_CHARACTERS]} {text[-TAIL_CHARACTERS:]}"
    text = text.lower()
    # Nearly every English text ends here, at a fifth of the price.
    if len(_ENGLISH.intersection(text.split())) >= ENGLISH_ENOUGH:
        return False
    in_order = _WORD.findall(text)
    words = set(in_order)
    english = len(words & _ENGLISH)
    if english >= ENGLISH_ENOUGH:
        return False
    if not text.isascii() and _is_in_other_script(text, english):
        return True
    if not english and in_order and in_order[0] in _OPENERS:
        return True
    foreign = words & _ANY_FOREIGN
    if len(foreign) < FOREIGN_ENOUGH:
        return False
    most = max(len(foreign & its) for its in _BY_LANGUAGE)
    return most >= FOREIGN_ENOUGH and most > english + len(words & _SHARED)


def _is_in_other_script(text: str, english: int) -> bool:
    """Whether letters of other scripts prevail; they say more each, and a few names in Latin do not change that."""
    weight = 2 if english < FOREIGN_ENOUGH else 1
    return weight * len(_OTHER_SCRIPT.findall(text)) > len(_LATIN.findall(text))
