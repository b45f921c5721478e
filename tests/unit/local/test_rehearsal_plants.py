import json
from pathlib import Path
from random import Random

import pytest

from local.rehearsal.ask import read_ask
from local.rehearsal.config import read_config
from local.rehearsal.plants import Plants, read_plants
from local.rehearsal.replies import Players, make_reply
from local.rehearsal.wire import Asked, Made

USER = "Domain: math\nTopic: fractions\nSubtopic: adding unlike denominators\nForm: word problem\nQuestions: 20\n"
TEXTS = [f"Planted question {number}?" for number in range(7)]


def reply(plants: Plants, seed: int = 1) -> Made:
    return make_reply(Asked("m", USER, 30, None, None), read_ask(USER), Players(plants=plants), None, Random(seed))


def test_plants_stand_in_the_reply_and_are_named_by_line() -> None:
    plants = Plants(TEXTS, 0.5, seed=3)
    made = reply(plants)
    questions = json.loads(made.text)["questions"]
    assert [each for each in questions if each in TEXTS] == [TEXTS[line - 1] for line in made.planted]
    assert 3 <= len(made.planted) <= 17
    assert len(questions) == 20
    assert reply(Plants(TEXTS, 0.5, seed=3)) == made


def test_all_plants_come_once_before_any_comes_again() -> None:
    plants = Plants(TEXTS, 1.0)
    assert sorted(set(reply(plants).planted[:7])) == [1, 2, 3, 4, 5, 6, 7]


def test_about_the_share_is_planted() -> None:
    plants = Plants(TEXTS, 0.02)
    planted = sum(len(reply(plants, seed).planted) for seed in range(200))
    assert 50 <= planted <= 110


def test_without_plants_the_replies_are_what_they_were() -> None:
    assert reply(Plants()) == make_reply(Asked("m", USER, 30, None, None), read_ask(USER), Players(), None, Random(1))


def test_a_file_of_plants_holds_texts_or_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plants.jsonl"
    path.write_text('"Why?"\n{"question": "And then?", "id": 4}\n')
    assert read_plants(path) == ["Why?", "And then?"]
    assert read_config(["--plant", str(path), "--plant-share", "0.5"]).plant_share == 0.5
    path.write_text('"Why?"\n[]\n')
    with pytest.raises(SystemExit):
        read_config(["--plant", str(path)])
    assert "line 2: a JSON text or" in capsys.readouterr().err
    with pytest.raises(ValueError, match="cannot be read"):
        read_plants(tmp_path / "nothing")
