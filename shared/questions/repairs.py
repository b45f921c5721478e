"""The names of what the parser can mend in a reply."""

from enum import StrEnum


class Repair(StrEnum):
    """One kind of damage in a reply; counted by this name where a user sees it."""

    BYTE_ORDER_MARK = "byte order mark"
    CODE_FENCE = "code fence"
    PROSE_AROUND = "prose around"
    BARE_LIST = "bare list"  # a list without the object around it
    QUESTION_OBJECTS = "question objects"  # {"question": "..."} where a string was asked for
    WRAPPER = "wrapper"  # any other way to nest or name the list
    REPEATED_LIST = "repeated list"  # the same list again: read once
    TRAILING_COMMA = "trailing comma"
    MISSING_COMMA = "missing comma"
    MISMATCHED_BRACKET = "mismatched bracket"
    SINGLE_QUOTES = "single quotes"
    SMART_QUOTES = "smart quotes"
    INNER_QUOTES = "inner quotes"  # quotes inside a string that were not escaped
    UNCLEAR_QUOTES = "unclear quotes"  # so few or so many that the string's end is a guess: the item is left out
    UNQUOTED_KEY = "unquoted key"
    PYTHON_LITERAL = "python literal"
    STRAY_TEXT = "stray text"  # text between the items that belongs to none: left out
    ITEM_WITHOUT_TEXT = "item without text"  # null, a number, an object that holds no question: left out
    UNNUMBERED = "unnumbered items"  # no number, and as many as were asked for: taken in their order
    NUMBERED_FROM_ZERO = "numbered from zero"
    UNKNOWN_NUMBER = "unknown number"  # an item with the number of no question, or without one: left out
    REPEATED_NUMBER = "repeated number"  # a second item for the same question: left out
    UNUSABLE_ITEM = "unusable item"  # a verdict without all scores, an answer that is blank or damaged: left out
    BARE_VALUE = "bare value"  # a number where a text was asked for, or the other way round
    PLAIN_TEXT = "plain text"  # an answer without any JSON around it
    LATEX_ESCAPE = "latex escape"  # \frac, \times, ... which JSON reads as control characters
    INVALID_ESCAPE = "invalid escape"  # \alpha, \d, \(, ... which JSON does not know
    RAW_CONTROL = "raw line break"  # a line break or tab that was not escaped
    LONE_SURROGATE = "lone surrogate"  # half of a character, now U+FFFD
    CUT = "cut"  # the reply ends early: an unfinished item is left out
    OVERLONG = "overlong"  # more parts, escapes or nesting than any list of questions has: the rest is left out
