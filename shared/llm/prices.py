"""What a call costs, and at most can cost."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_UP, Decimal
from functools import lru_cache

import genai_prices

from shared.errors import UnusableModel
from shared.llm.models import split_model, warn_of_retirements
from shared.llm.provider import LLMReply, Usage
from shared.settings import Price

SettingsPrices = Mapping[str, Price]

PER_MILLION = Decimal(1_000_000)
USD_STEP = Decimal("1e-12")  # what the ledger's columns hold
# The input of a worst case is rounded up to full steps, so that few distinct prices are ever computed.
WORST_CASE_STEP = 256
# Roles, separators and the schema's framing, beside the bytes of the prompt itself.
OVERHEAD_TOKENS = 64
# Both providers halve every rate of a bulk submission: https://developers.openai.com/api/docs/guides/batch and
# https://platform.claude.com/docs/en/build-with-claude/batch-processing#pricing. Where the price list has rates of its
# own for them (OpenAI does not always halve cached input), those count.
BULK_DISCOUNT = Decimal("0.5")
BULK_CONTEXT = {"processing": "batch"}


def price_of(model: str, usage: Usage, prices: SettingsPrices, *, bulk: bool = False) -> Decimal:
    """US dollars of one call of "provider/model": priced per request, since tiers depend on its length.

    `bulk`: as part of a bulk submission.
    A price in the settings wins over the price list. Raises UnusableModel for a model without a price.
    """
    own = prices.get(model)
    if own is not None:
        usd = (own.input * usage.input_tokens + own.output * usage.output_tokens) / PER_MILLION
        usd *= BULK_DISCOUNT if bulk else 1
    else:
        usd = _listed_price(model, usage, bulk=bulk)
    return usd.quantize(USD_STEP, rounding=ROUND_UP)


def cost_of(model: str, reply: LLMReply, worst_usd: Decimal, prices: SettingsPrices, *, bulk: bool = False) -> Decimal:
    """What a reply cost, by its usage; without one, what may have been paid counts as the call's worst case."""
    if reply.usage is not None:
        return price_of(model, reply.usage, prices, bulk=bulk)
    return worst_usd if reply.outcome.usable or reply.outcome.maybe_paid else Decimal(0)


def worst_case(
    model: str, input_bytes: int, max_output_tokens: int, prices: SettingsPrices, *, bulk: bool = False
) -> Decimal:
    """The most that one call can cost: every byte of input a token, all of it written to a cache, the output full.

    No byte-level tokenizer makes more tokens than bytes. The output limit holds reasoning tokens too.
    """
    tokens = -(-(input_bytes + OVERHEAD_TOKENS) // WORST_CASE_STEP) * WORST_CASE_STEP
    plain = Usage(tokens, max_output_tokens)
    written = Usage(tokens, max_output_tokens, cache_write_tokens=tokens)
    return max(price_of(model, plain, prices, bulk=bulk), price_of(model, written, prices, bulk=bulk))


def model_warnings(models: Iterable[str], prices: SettingsPrices, today: date) -> list[str]:
    """What a person should know about the models before a job: their end, and prices that are their own word."""
    models = sorted(set(models))
    own = [
        f"{model} is not in the price list; its price comes from QUESTMILL_PRICES"
        for model in models
        if model in prices and not _is_listed(model)
    ]
    return warn_of_retirements(models, today) + own


@lru_cache(maxsize=1024)
def _is_listed(model: str) -> bool:
    """A model listed without prices for text in and out (audio, moderation) would look free: not listed."""
    provider, name = split_model(model)
    try:
        found = genai_prices.calc_price(genai_prices.Usage(), name, provider_id=provider).model_price
    except LookupError:
        return False
    return found.input_mtok is not None and found.output_mtok is not None


@lru_cache(maxsize=1024)
def _has_bulk_prices(model: str) -> bool:
    provider, name = split_model(model)
    plain, bulk = (
        genai_prices.calc_price(genai_prices.Usage(), name, provider_id=provider, price_context=context).model_price
        for context in (None, BULK_CONTEXT)
    )
    # Where the list has none for bulk submissions, it answers with the plain ones.
    return bulk != plain and bulk.input_mtok is not None and bulk.output_mtok is not None


@lru_cache(maxsize=4096)
def _listed_price(model: str, usage: Usage, *, bulk: bool) -> Decimal:
    if not _is_listed(model):
        raise _no_price(model)
    provider, name = split_model(model)
    cached = min(usage.cached_tokens, usage.input_tokens)
    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=min(usage.cache_write_tokens, usage.input_tokens - cached),
    )
    own_rates = bulk and _has_bulk_prices(model)
    context = BULK_CONTEXT if own_rates else None
    usd = genai_prices.calc_price(tokens, name, provider_id=provider, price_context=context).total_price
    return usd * BULK_DISCOUNT if bulk and not own_rates else usd


def _no_price(model: str) -> UnusableModel:
    return UnusableModel(
        f"{model} is not in the price list. Give it a price in US dollars per million tokens with "
        f'QUESTMILL_PRICES=\'{{"{model}": {{"input": 0.10, "output": 0.50}}}}\'; use 0 for a model of your own'
    )
