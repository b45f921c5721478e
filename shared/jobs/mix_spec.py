"""The mix of a job spec."""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from shared.jobs.spec_fields import (
    ANSWER_TOKENS_PER_QUESTION_TOKEN,
    LEAST_ANSWER_TOKENS,
    MAX_DIFFICULTIES,
    MAX_DOMAINS,
    MAX_QUESTIONS,
    SHARE_TOLERANCE,
    Count,
    FoldedKeys,
    JsonNumber,
    MeanTokens,
    Strict,
    require_known,
)
from shared.planning.mix import Cell, Difficulty, Means, Measure, Mix, ShareScope


class DifficultySpec(Strict):
    """A difficulty: its share of all tokens, and the mean tokens of one question and of one answer."""

    token_share: Annotated[JsonNumber, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        description="its share of all tokens; those of all difficulties add up to 1"
    )
    mean_tokens: MeanTokens = Field(description="tokens that a question of it is asked to have, on average")
    answer_tokens: MeanTokens | None = Field(
        default=None, description="the same of an answer; left out, 1.5 times the question's and at least 100"
    )

    @property
    def tokens_of_answer(self) -> Decimal:
        """What an answer is taken to have, if nothing is said."""
        return self.answer_tokens or max(LEAST_ANSWER_TOKENS, ANSWER_TOKENS_PER_QUESTION_TOKEN * self.mean_tokens)


class MixSpec(Strict):
    """What the data set is to be made of."""

    domains: Annotated[dict[str, Annotated[Count, Field(ge=1, le=MAX_QUESTIONS)]], FoldedKeys] = Field(
        min_length=1, max_length=MAX_DOMAINS, description="how many questions of each domain; met exactly"
    )
    difficulties: Annotated[dict[str, DifficultySpec], FoldedKeys] = Field(
        min_length=1, max_length=MAX_DIFFICULTIES, description="any names, each with its tokens"
    )
    mean_tokens: Annotated[dict[str, Annotated[dict[str, MeanTokens], FoldedKeys]], FoldedKeys] = Field(
        default_factory=dict, description="own means of some cells: by domain, then by difficulty"
    )
    minimum: Annotated[dict[str, Annotated[Count, Field(ge=0, le=MAX_QUESTIONS)]], FoldedKeys] = Field(
        default_factory=dict, description="at least so many of a difficulty in each domain"
    )
    measure: Measure = Field(default=Measure.PROMPT, description="which tokens the shares are about")
    means: Means = Field(
        default=Means.FIXED, description="whether the plan follows the lengths that models really write"
    )
    scope: ShareScope = Field(default=ShareScope.GLOBAL, description="whether each domain has the shares by itself")
    existing: StrictBool = Field(
        default=False,
        description="set by the service: the mix was read off a dataset, for a job that generates nothing, and its "
        "targets follow what passes; a new job of such a mix reads it off again",
    )

    @field_validator("domains")
    @classmethod
    def _total_in_bounds(cls, domains: dict[str, int]) -> dict[str, int]:
        if sum(domains.values()) > MAX_QUESTIONS:
            raise ValueError(f"the domains add up to more than {MAX_QUESTIONS:,} questions")
        return domains

    @field_validator("difficulties")
    @classmethod
    def _shares_are_whole(cls, difficulties: dict[str, DifficultySpec]) -> dict[str, DifficultySpec]:
        total = sum((each.token_share for each in difficulties.values()), Decimal(0))
        if abs(total - 1) > SHARE_TOLERANCE:
            raise ValueError(f"the token shares add up to {total:f}, not to 1")
        return difficulties

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for domain, means in self.mean_tokens.items():
            require_known(domain, self.domains, "mean_tokens", "domain")
            for difficulty in means:
                require_known(difficulty, self.difficulties, f"mean_tokens.{domain}", "difficulty")
        for difficulty in self.minimum:
            require_known(difficulty, self.difficulties, "minimum", "difficulty")
        return self

    @property
    def balances_answers(self) -> bool:
        """Whether the plan follows what answers turn out to have."""
        return self.means is Means.MEASURED and self.measure is not Measure.PROMPT

    def question_tokens(self, cell: Cell) -> Decimal:
        """The mean tokens that questions of a cell are asked to have."""
        return self.mean_tokens.get(cell.domain, {}).get(
            cell.difficulty, self.difficulties[cell.difficulty].mean_tokens
        )

    def to_mix(self) -> Mix:
        """The planner's mix; shares are scaled to add up to exactly 1."""
        whole = sum((each.token_share for each in self.difficulties.values()), Decimal(0))
        return Mix(
            domains=self.domains,
            difficulties={
                name: Difficulty(
                    token_share=each.token_share / whole, mean_tokens=self._measured(each, each.mean_tokens)
                )
                for name, each in self.difficulties.items()
            },
            mean_tokens={
                domain: {name: self._measured(self.difficulties[name], mean) for name, mean in own.items()}
                for domain, own in self.mean_tokens.items()
            },
            minimum=self.minimum,
            answer_tokens={name: each.tokens_of_answer for name, each in self.difficulties.items()},
            measure=self.measure,
            means=self.means,
            scope=self.scope,
        )

    def _measured(self, difficulty: DifficultySpec, question_tokens: Decimal) -> Decimal:
        """Of a question with so many tokens, what the mix balances."""
        return {
            Measure.PROMPT: question_tokens,
            Measure.COMPLETION: difficulty.tokens_of_answer,
            Measure.TOTAL: question_tokens + difficulty.tokens_of_answer,
        }[self.measure]
