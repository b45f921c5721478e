import re
from itertools import combinations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli.spec_template import Wishes, share_out, write_template
from shared.database.states import Stage
from shared.errors import InvalidInput
from shared.jobs.spec import parse_spec

CHOICES = [chosen for count in (1, 2, 3) for chosen in combinations(Stage, count)]
OPTION = re.compile(r"^( *)# (\s*[a-z_]+:.*)$", re.MULTILINE)


@pytest.mark.parametrize("stages", CHOICES)
def test_what_is_written_is_a_job_with_every_option_turned_on_too(stages: tuple[Stage, ...]) -> None:
    text = write_template(Wishes(domains=("coding", "tool use"), questions=101, stages=stages))
    assert parse_spec(yaml.safe_load(text)).stages == stages
    turned_on = parse_spec(yaml.safe_load(OPTION.sub(r"\1\2", text)))
    assert set(turned_on.models) == set(stages)
    assert turned_on.budget_usd is not None


def test_what_is_written_has_the_questions_asked_for() -> None:
    spec = parse_spec(yaml.safe_load(write_template(Wishes(domains=("a", "b", "c"), questions=1000))))
    assert spec.mix is not None
    assert spec.mix.domains == {"a": 334, "b": 333, "c": 333}


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5, unique=True))
def test_any_name_is_read_back_or_refused_in_words(domains: list[str]) -> None:
    refusal = ""
    try:
        write_template(Wishes(domains=domains))
    except InvalidInput as error:
        refusal = error.detail
    assert refusal == "" or refusal.startswith("mix.domains")


@pytest.mark.parametrize("name", ["no", "on", "null", "12", "true", "C++: the language", "größe"])
def test_names_that_yaml_takes_for_something_else_stay_names(name: str) -> None:
    spec = parse_spec(yaml.safe_load(write_template(Wishes(domains=(name,)))))
    assert spec.mix is not None
    assert list(spec.mix.domains) == [name.lower()]


def test_no_domain_gets_two_more_than_another() -> None:
    shared = share_out(10, ("a", "b", "c", "d"))
    assert sum(shared.values()) == 10
    assert max(shared.values()) - min(shared.values()) == 1
