"""English words that stand for numbers: "three" is 3, "third" is 3rd; all of them are masked in a template."""

_BELOW_TWENTY = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    *("twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth"),
    "twentieth",
)

TENS = {word: 10 * place for place, word in enumerate(_TENS, start=2)}
UNITS = {word: value for value, word in enumerate(_BELOW_TWENTY) if 0 < value < 10}

# Each word in the form in which the guards write numbers: "three" as "3", "third" and "3rd" as "#3", "twice" as "x2".
NUMBER_WORDS = {
    **{word: str(value) for value, word in enumerate(_BELOW_TWENTY)},
    **{word: str(value) for word, value in TENS.items()},
    **{word: f"#{value}" for value, word in enumerate(_ORDINALS, start=1)},
    **{f"{word}s": f"#{value}" for value, word in enumerate(_ORDINALS, start=1) if value > 2},  # "two fifths"
    "hundred": "100",
    "thousand": "1000",
    "million": "1000000",
    "billion": "1000000000",
    "dozen": "12",
    "once": "x1",
    "twice": "x2",
    "double": "x2",
    "thrice": "x3",
    "triple": "x3",
    "quadruple": "x4",
    "half": "1/2",
    "halves": "1/2",
    "quarter": "1/4",
    "quarters": "1/4",
}
