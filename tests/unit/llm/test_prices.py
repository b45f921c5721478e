from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UnusableModel
from shared.llm.models import find_retirement, split_model
from shared.llm.prices import BULK_DISCOUNT, _has_bulk_prices, model_warnings, price_of, worst_case
from shared.llm.provider import Usage
from shared.settings import Price, Settings

LUNA = "openai/gpt-6-luna"
LOCAL = "openai/my-own-model"
FREE = {LOCAL: Price(input=Decimal(0), output=Decimal(0))}
UNLISTED_BULK = "openai/gpt-5.3"
TODAY = date(2026, 11, 22)


def test_price_counts_cached_input_at_its_own_rate() -> None:
    """0.10, 0.01 and 0.50 dollars per million fresh, cached and output tokens."""
    assert price_of(LUNA, Usage(1000, 500, cached_tokens=100), {}) == Decimal("0.000341")


def test_reasoning_is_part_of_the_output() -> None:
    assert price_of(LUNA, Usage(1000, 500, reasoning_tokens=400), {}) == price_of(LUNA, Usage(1000, 500), {})


def test_price_of_settings_wins_over_the_list() -> None:
    own = {LUNA: Price(input=Decimal(1), output=Decimal(2))}
    assert price_of(LUNA, Usage(1_000_000, 500_000), own) == 2


def test_local_model_may_cost_nothing() -> None:
    assert price_of(LOCAL, Usage(10, 10), FREE) == 0
    assert worst_case(LOCAL, 1000, 1000, FREE) == 0


def test_bulk_costs_half_by_the_list_and_by_the_settings() -> None:
    usage = Usage(1000, 500)
    for model in (LUNA, "anthropic/claude-haiku-5-5", "anthropic/claude-sonnet-5-5", "openai/gpt-6.1-sol"):
        assert price_of(model, usage, {}, bulk=True) * 2 == price_of(model, usage, {})
        assert worst_case(model, 4000, 500, {}, bulk=True) * 2 == worst_case(model, 4000, 500, {})
    own = {LOCAL: Price(input=Decimal(1), output=Decimal(2))}
    assert price_of(LOCAL, Usage(1_000_000, 500_000), own, bulk=True) == 1


def test_bulk_prices_of_the_list_win_over_the_discount() -> None:
    """OpenAI does not halve what gpt-4o-mini takes for cached input."""
    usage = Usage(1000, 0, cached_tokens=1000)
    assert price_of("openai/gpt-4o-mini", usage, {}, bulk=True) > BULK_DISCOUNT * price_of(
        "openai/gpt-4o-mini", usage, {}
    )


def test_model_without_bulk_prices_in_the_list_gets_the_discount() -> None:
    usage = Usage(1000, 500)
    assert not _has_bulk_prices(UNLISTED_BULK)
    assert price_of(UNLISTED_BULK, usage, {}, bulk=True) * 2 == price_of(UNLISTED_BULK, usage, {})


@pytest.mark.parametrize("model", [LOCAL, "mistery/model", "openai/whisper-1", "openai/omni-moderation-latest"])
def test_model_without_a_price_is_refused_naming_the_setting(model: str) -> None:
    with pytest.raises(UnusableModel, match="QUESTMILL_PRICES"):
        price_of(model, Usage(1, 1), {})


def test_default_models_have_prices_and_a_future() -> None:
    settings = Settings()
    models = {*settings.cheap_models, *settings.strong_models}
    assert all(price_of(model, Usage(1000, 1000), {}) > 0 for model in models)
    assert model_warnings(models, {}, TODAY) == []


@pytest.mark.parametrize(
    "model", [LUNA, "anthropic/claude-haiku-5-5", "anthropic/claude-sonnet-5-5", "openai/gpt-6.1-sol"]
)
@given(data=st.data())
def test_no_call_costs_more_than_its_worst_case(model: str, data: st.DataObject) -> None:
    """Whatever the tokenizer makes of the bytes, cached or written to a cache, also across a price tier."""
    size = data.draw(st.integers(1, 400_000) | st.integers(1, 4000))
    limit = data.draw(st.integers(1, 32_000))
    tokens = data.draw(st.integers(0, size))
    cached = data.draw(st.integers(0, tokens))
    written = data.draw(st.integers(0, tokens - cached))
    usage = Usage(tokens, data.draw(st.integers(0, limit)), cached, written)
    for bulk in (False, True):
        assert price_of(model, usage, {}, bulk=bulk) <= worst_case(model, size, limit, {}, bulk=bulk)


def test_nonsense_of_a_server_is_still_priced() -> None:
    assert price_of(LUNA, Usage(10, 10, cached_tokens=99, cache_write_tokens=99), {}) > 0


@pytest.mark.parametrize(
    ("model", "parts"),
    [(LUNA, ("openai", "gpt-6-luna")), ("openai/org/model:8b", ("openai", "org/model:8b"))],
)
def test_model_names_its_provider(model: str, parts: tuple[str, str]) -> None:
    assert split_model(model) == parts


@pytest.mark.parametrize("model", ["gpt-6-luna", "/gpt", "openai/", ""])
def test_model_without_a_provider_is_refused(model: str) -> None:
    with pytest.raises(UnusableModel):
        split_model(model)


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("openai/gpt-4o-mini", date(2027, 1, 14)),
        ("openai/gpt-4o-mini-2024-07-18", date(2027, 1, 14)),
        ("anthropic/claude-sonnet-4", date(2026, 6, 15)),
        ("anthropic/claude-sonnet-4-0", date(2026, 6, 15)),
        ("anthropic/claude-sonnet-4-20250514", date(2026, 6, 15)),
        ("anthropic/claude-sonnet-4-5", date(2026, 11, 30)),
        ("anthropic/claude-sonnet-4-6", None),
        ("openai/gpt-4o-mini-tts", None),
    ],
)
def test_retirement_is_that_of_the_family(model: str, day: date | None) -> None:
    assert find_retirement(model) == day


def test_warnings_tell_past_from_future_and_own_prices() -> None:
    models = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4", LOCAL, LUNA]
    assert model_warnings(models, FREE, TODAY) == [
        "anthropic/claude-sonnet-4 was retired on 2026-06-15: calls to it fail; choose another model",
        "openai/gpt-4o-mini will be shut down on 2027-01-14",
        "openai/my-own-model is not in the price list; its price comes from QUESTMILL_PRICES",
    ]
