"""Duplicates are found again from the texts, by the judgement of admission."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.bundle.alike import Judge, Kept, find_clusters
from shared.bundle.row_index import index_rows
from shared.bundle.row_lines import RowLines
from shared.corpus.duplicates import NEAR_SIMILARITY
from shared.corpus.fingerprint import fingerprint_many
from shared.corpus.marks import Marks, read_marks
from shared.corpus.normalise import normalise
from shared.corpus.similarity import similarities
from tests.unit.bundle.samples import exported_row, made_up_question, write_export


def clusters_of(path: Path, questions: Sequence[str], ids: Sequence[int] | None = None) -> list[list[int]]:
    """The ids of the clusters that these questions make."""
    numbered = zip(ids or range(1, len(questions) + 1), questions, strict=True)
    rows = [exported_row(number, question) for number, question in numbered]
    with RowLines([write_export(path / "export.jsonl", rows)]) as lines:
        index = index_rows(lines, range(len(lines)))
        judge = Judge(index, lambda place: str(lines.row(int(index.lines[place]))["question"]))
        found = find_clusters(judge, range(len(index)))
        return [[int(index.ids[place]) for place in members] for members in found]


def test_near_ones_and_those_that_differ_in_numbers_are_together_and_others_are_not(tmp_path: Path) -> None:
    questions = [
        "What is the capital of the largest country in South America by area?",
        "Name a sorting algorithm that is stable.",
        "What is the capital of the largest country in South America, by area?",  # near the first
        "How many minutes are 12 hours and 5 seconds?",
        "How many minutes are 17 hours and 8 seconds?",  # the same template
        "Name a sorting algorithm that is not stable.",  # a guard tells it apart
        "what is the capital of the largest country in south america by area",  # equal but for what folds
    ]
    assert clusters_of(tmp_path, questions) == [[1, 3, 7], [4, 5]]


def test_of_a_crowd_that_shares_a_passage_each_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()

    def counting(text: str) -> Marks:
        read[text] += 1
        return read_marks(text)

    monkeypatch.setattr("shared.bundle.alike.read_marks", counting)
    rng = random.Random(5)
    passage = made_up_question(rng, words=60)[:-1]
    crowd = [f"{passage} and then {made_up_question(rng, words=2)}" for _ in range(100)]
    clusters_of(tmp_path, crowd)
    assert read == Counter(crowd)


def test_the_order_of_the_file_says_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    questions = [made_up_question(rng) for _ in range(40)]
    questions += [f"{each[:-1]} please?" for each in questions[:10]]
    numbered = list(enumerate(questions, 1))
    expected = clusters_of(tmp_path, questions)
    assert len(expected) == 10
    rng.shuffle(numbered)
    shuffled = clusters_of(tmp_path, [question for _, question in numbered], [number for number, _ in numbered])
    assert shuffled == expected


def test_it_finds_what_comparing_every_pair_finds(tmp_path: Path) -> None:
    """Bands miss a few at the threshold: of pairs as close as these, fewer than one in a thousand."""
    rng = random.Random(11)
    questions = []
    for _ in range(60):
        words = made_up_question(rng, words=14)[:-1].split()
        questions += [" ".join(words) + "?", " ".join([*words[:-1], words[-1][:-1] + "x"]) + "?"]
    folded = [normalise(each) for each in questions]
    pairs = [(one, other) for one in range(len(questions)) for other in range(one)]
    near = [pair for pair, its in zip(pairs, similarities(folded, pairs), strict=True) if its >= NEAR_SIMILARITY]
    assert len(near) == 60
    assert sorted(clusters_of(tmp_path, questions)) == sorted([other + 1, one + 1] for one, other in near)


def test_what_is_left_out_is_found_no_more(tmp_path: Path) -> None:
    questions = ["How many minutes are 12 hours?", "How many minutes are 17 hours?", "How many minutes are 9 hours?"]
    rows = [exported_row(number, question) for number, question in enumerate(questions)]
    with RowLines([write_export(tmp_path / "export.jsonl", rows)]) as lines:
        index = index_rows(lines, range(3))
        kept = Kept(Judge(index, questions.__getitem__))
        kept.keep(1)
        assert kept.older(2) == [1]


def test_the_index_holds_the_fingerprints_of_admission(tmp_path: Path) -> None:
    questions = [made_up_question(random.Random(number)) for number in range(5)]
    rows = [exported_row(10 - number, question) for number, question in enumerate(questions)]
    with RowLines([write_export(tmp_path / "export.jsonl", rows)]) as lines:
        index = index_rows(lines, [0, 2, 4])
    assert index.ids.tolist() == [6, 8, 10]
    assert index.lines.tolist() == [4, 2, 0]
    prints = fingerprint_many([questions[line] for line in (4, 2, 0)])
    assert index.text_hashes == [its.text_hash for its in prints]
    assert [tuple(bands) for bands in index.bands.tolist()] == [its.bands for its in prints]
