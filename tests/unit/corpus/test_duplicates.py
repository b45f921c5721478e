from collections.abc import Sequence

from shared.corpus.duplicates import Known, Refusal, Verdict, judge
from shared.corpus.fingerprint import fingerprint, fingerprint_many
from shared.corpus.guards import Guard
from shared.ids import QuestionId
from tests.processor import takes_at_most

HEN = "Why would a grey hen cross the narrow road behind the mill at noon?"
HEN_REWORDED = "Why would a grey hen cross the narrow road behind the mill at noon today?"
HEN_ELSEWHERE = "Why would a grey hen cross the wide road behind the mill at noon?"
FIRST = QuestionId(1)


def judge_all(texts: Sequence[str], known: Known | None = None, *, template_cap: int | None = None) -> list[Verdict]:
    return judge(texts, fingerprint_many(texts), known or Known(), template_cap=template_cap)


def test_nothing_known_makes_all_new() -> None:
    assert judge_all([HEN, "Name a river."]) == [Verdict(None), Verdict(None)]
    assert judge_all([]) == []


def test_equal_text_is_exact_before_it_is_near() -> None:
    known = Known({fingerprint(HEN).text_hash: FIRST}, [[FIRST]], {FIRST: HEN})
    assert judge_all([HEN.upper()], known) == [Verdict(Refusal.EXACT, FIRST, similarity=1.0)]


def test_similar_text_is_near_and_says_how_near() -> None:
    (verdict,) = judge_all([HEN_REWORDED], Known(neighbours=[[FIRST]], texts={FIRST: HEN}))
    assert (verdict.verdict, verdict.question_id, verdict.guard) == ("near", FIRST, None)
    assert verdict.similarity is not None
    assert 0.85 < verdict.similarity < 1


def test_a_list_is_measured_as_the_dataset_is() -> None:
    known = judge_all([HEN_REWORDED, HEN_ELSEWHERE], Known(neighbours=[[FIRST], [FIRST]], texts={FIRST: HEN}))
    assert [each.similarity for each in judge_all([HEN, HEN_REWORDED, HEN_ELSEWHERE])[1:]] == [
        each.similarity for each in known
    ]


def test_guarded_text_is_new_and_names_the_guard() -> None:
    (verdict,) = judge_all([HEN_ELSEWHERE], Known(neighbours=[[FIRST]], texts={FIRST: HEN}))
    assert (verdict.verdict, verdict.question_id, verdict.guard) == ("new", FIRST, Guard.POLARITY)


def test_guarded_neighbour_does_not_hide_a_near_one() -> None:
    known = Known(neighbours=[[FIRST, QuestionId(2)]], texts={FIRST: HEN_ELSEWHERE, QuestionId(2): HEN_REWORDED})
    (verdict,) = judge_all([HEN], known)
    assert (verdict.refusal, verdict.question_id) == (Refusal.NEAR, 2)


def test_dissimilar_neighbour_is_no_repeat() -> None:
    known = Known(neighbours=[[FIRST]], texts={FIRST: "Name the longest river that flows north."})
    assert judge_all([HEN], known) == [Verdict(None)]


def test_repeats_point_to_the_first_in_the_list() -> None:
    verdicts = judge_all([HEN, HEN_REWORDED, HEN, HEN_ELSEWHERE])
    assert [(each.verdict, each.repeats) for each in verdicts] == [
        ("new", None),
        ("near", 0),
        ("exact", 0),
        ("new", 0),
    ]


def test_cap_counts_known_and_new_but_not_refused() -> None:
    sums = [f"How much is {number} + 1?" for number in (1, 2, 2, 3, 4)]
    known = Known(templates={fingerprint(sums[0]).template_hash: 1})
    verdicts = judge_all(sums, known, template_cap=3)
    assert [each.verdict for each in verdicts] == ["new", "new", "exact", "template cap", "template cap"]
    assert [each.verdict for each in judge_all(sums)] == ["new", "new", "exact", "new", "new"]


def test_list_of_one_template_costs_what_its_length_says() -> None:
    trains = [
        f"If a train leaves the town at {n} miles per hour, when does it come to the harbour?" for n in range(3000)
    ]
    with takes_at_most(10):  # all pairs would take some 40 s
        verdicts = judge_all([*trains, *(train.upper() for train in trains)])
    assert [each.verdict for each in verdicts] == ["new"] * 3000 + ["exact"] * 3000
    assert [each.repeats for each in verdicts[3000:]] == [*range(3000)]
    capped = judge_all(trains, template_cap=7)
    assert [each.verdict for each in capped] == ["new"] * 7 + ["template cap"] * 2993


def test_near_repeat_is_found_in_a_long_list_of_one_template() -> None:
    fillers = [f"Why would a grey hen number {n} cross the narrow road behind the mill at noon?" for n in range(500)]
    verdict = judge_all([HEN, *fillers, HEN_REWORDED])[-1]
    assert (verdict.refusal, verdict.repeats) == (Refusal.NEAR, 0)
