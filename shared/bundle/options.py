"""What a bundle is made by, as its manifest keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shared.bundle.episodes import EpisodeOptions, Tasks
from shared.bundle.splits import SplitOptions


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """How a bundle is made. `order_seed` puts the rows of each file in their order."""

    splits: SplitOptions = field(default_factory=SplitOptions)
    episodes: EpisodeOptions = field(default_factory=EpisodeOptions)
    order_seed: int = 2025
    openai: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError or TypeError on nonsense."""
        if [type(self.order_seed), type(self.openai)] != [int, bool]:
            raise TypeError("the order seed is a whole number, openai true or false")
        if not 0 <= self.order_seed < 2**63:
            raise ValueError("the order seed is out of its range")

    def to_json(self) -> dict[str, Any]:
        """As the manifest has them."""
        return asdict(self)


def options_from(said: Mapping[str, Any]) -> BundleOptions:
    """The options of a manifest. Raises KeyError, TypeError, ValueError or AttributeError for what are none."""
    episodes = EpisodeOptions(**{**said["episodes"], "tasks": Tasks(said["episodes"]["tasks"])})
    return BundleOptions(**{**said, "splits": SplitOptions(**said["splits"]), "episodes": episodes})


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of where the rows come from: the dataset, its jobs as the API shows them, newest first, the prompt
    versions of each job, and how many questions benchmarks flagged, which are not among the rows.
    """

    dataset: str
    jobs: tuple[Mapping[str, Any], ...] = ()
    prompts: Mapping[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    contaminated: int = 0
