"""Closed classes of English words whose members exclude one another: change one, and the question is another.

Words of one pole are synonyms and may stand for each other; words of two poles of one set may not. Only sets that
English itself closes are listed (opposites, units, weekdays ...), since an open list would never be whole.
"""

from collections.abc import Collection, Iterable

# One set a line; poles are divided by "|", the words of a pole by spaces.
_SETS = """
with | without
more greater | less fewer
most | least fewest
much many lot numerous | little few
all every each any both | no none neither nobody nothing
always | never | sometimes | often usually frequently | rarely seldom
and | or | nor
before prior earlier preceding previous | after later following afterwards next subsequent
early earliest | late latest
first initial | last final
up upward upwards | down downward downwards
over above | under below beneath
in into inside | out outside
on | off
left leftmost | right rightmost
front forward forwards | back backward backwards
top upper | bottom lower
north northern | south southern | east eastern | west western
big bigger biggest large larger largest huge | small smaller smallest little tiny
high higher highest | low lower lowest
tall taller tallest | short shorter shortest
long longer longest | short shorter shortest
old older oldest | young younger youngest
old older oldest | new newer newest
fast faster fastest quick quicker quickest | slow slower slowest
hot hotter hottest warm warmer warmest | cold colder coldest cool cooler coolest
heavy heavier heaviest | light lighter lightest
strong stronger strongest | weak weaker weakest
good | bad
better | worse
best | worst
easy easier easiest | hard harder hardest difficult
rich richer richest | poor poorer poorest
cheap cheaper cheapest | expensive
near nearer nearest close closer closest | far farther farthest further
wide wider widest broad | narrow narrower narrowest
deep deeper deepest | shallow shallower shallowest
thick thicker thickest | thin thinner thinnest
bright brighter brightest | dark darker darkest
maximum maximal max | minimum minimal min
maximise maximize | minimise minimize
true | false
yes | no
even | odd
positive | negative
prime | composite
same equal | different
possible | impossible
win wins won winning | lose loses lost losing
buy buys bought buying purchase purchased | sell sells sold selling
lend lends lent | borrow borrows borrowed
give gives gave given | take takes took taken
add adds added adding | subtract subtracts subtracted subtracting
multiply multiplied | divide divided
sum | difference | product | quotient
plus | minus | times
mean average | median | mode
increase increases increased rise rises rose | decrease decreases decreased fall falls fell reduce reduced
gain gains gained | loss
open opens opened opening | close closes closed closing shut
start starts started starting begin begins began | end ends ended ending finish finishes finished stop
arrive arrives arrived | leave leaves depart departs departed
enter enters entered | exit exits exited
import imports | export exports
encode encodes encrypt | decode decodes decrypt
push | pull
love like likes loved liked | hate hates hated dislike dislikes
ascending | descending
horizontal | vertical
clockwise | counterclockwise anticlockwise
internal interior | external exterior
alive living | dead
past | present current | future
male | female
man men | woman women
boy boys | girl girls
father dad | mother mom mum
son sons | daughter daughters
brother brothers | sister sisters
husband | wife
king | queen
uncle | aunt
he him his himself | she her hers herself
second seconds | minute minutes | hour hours hourly | day days daily | week weeks weekly | month months monthly \
| quarter | year years yearly annual annually | decade decades | century centuries
millisecond milliseconds ms | second seconds
millimetre millimetres millimeter millimeters mm | centimetre centimetres centimeter centimeters cm \
| metre metres meter meters | kilometre kilometres kilometer kilometers km | inch inches | foot feet | yard yards \
| mile miles mi
gram grams | kilogram kilograms kg | tonne tonnes ton tons | ounce ounces oz | pound pounds lb lbs
millilitre millilitres milliliter milliliters ml | litre litres liter liters | pint pints | gallon gallons
dollar dollars usd | euro euros eur | pound pounds gbp | yen jpy | cent cents | pence penny pennies
celsius | fahrenheit | kelvin
degree degrees | radian radians
bit bits | byte bytes | kilobyte kilobytes kb | megabyte megabytes mb | gigabyte gigabytes gb | terabyte terabytes tb
today | tomorrow | yesterday
morning | noon | afternoon | evening | night | midnight
monday mondays | tuesday tuesdays | wednesday wednesdays | thursday thursdays | friday fridays | saturday saturdays \
| sunday sundays
january | february | march | april | may | june | july | august | september | october | november | december
spring | summer | autumn fall | winter
red | orange | yellow | green | blue | purple violet | pink | brown | black | white | grey gray | gold | silver
public | private
major | minor
who whom | what which | when | where | why | how
"""

_NEGATORS = frozenset(
    {"not", "no", "never", "without", "none", "neither", "nor", "nobody", "nothing", "cannot", "except"}
)
_WITHOUT_APOSTROPHE = frozenset(
    "dont doesnt didnt isnt arent wasnt werent hasnt havent hadnt cant couldnt wont wouldnt shouldnt mustnt".split()  # noqa: SIM905 - read as a line
)
_NEGATING_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "mis", "anti", "de")


def _read_poles(sets: str) -> dict[str, tuple[tuple[int, int], ...]]:
    poles: dict[str, tuple[tuple[int, int], ...]] = {}
    for line_number, line in enumerate(sets.strip().splitlines()):
        for pole_number, pole in enumerate(line.split("|")):
            for word in pole.split():
                poles[word] = (*poles.get(word, ()), (line_number, pole_number))
    return poles


# word -> its poles, each as (set, pole within it)
_POLES = _read_poles(_SETS)


def count_denials(words: Iterable[str]) -> int:
    """How many of the lower-case words deny: "isn't" as often as "is not"."""
    return sum(word in _NEGATORS or word.endswith("n't") or word in _WITHOUT_APOSTROPHE for word in words)


def are_opposed(some: Collection[str], others: Collection[str]) -> bool:
    """Whether a word of one side is of another pole than a word of the other side, or negates it by an affix."""
    poles: dict[int, int] = {}
    for word in some:
        poles.update(_POLES.get(word, ()))
    if any(poles.get(set_number, pole) != pole for word in others for set_number, pole in _POLES.get(word, ())):
        return True
    return _negates(some, others) or _negates(others, some)


def _negates(derived: Collection[str], words: Collection[str]) -> bool:
    """Un-happy and happy, harm-less and harm-ful, use-less and use."""
    for word in words:
        if len(word) > 3 and any(prefix + word in derived for prefix in _NEGATING_PREFIXES):
            return True
        if word.removesuffix("ful") + "less" in derived:
            return True
    return False
