"""Whether episodes are cut as they are to be: disjoint, of one task and one split, and as the rows make them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from shared.bundle.episodes import Episode, EpisodeOptions, Member, task_of
from shared.bundle.findings import Findings
from shared.bundle.names import EPISODES


def verify_episodes(
    episodes: Sequence[Episode],
    members: Mapping[int, tuple[str, Member]],
    expected: Sequence[Episode],
    options: EpisodeOptions,
) -> Findings:
    """`members` are the rows by id with their splits; `expected` the episodes that they make."""
    findings = Findings()
    names = Counter(each.name for each in episodes)
    used: defaultdict[tuple[object, ...], set[int]] = defaultdict(set)
    for number, each in enumerate(episodes, 1):
        problem = _problem(each, members, options)
        if problem is None and names[each.name] > 1:
            problem = f"has a name that {names[each.name]} episodes have"
        clusters = {members[its][1].cluster for its in (*each.support, *each.query) if its in members}
        task = each.split, each.domain, each.topic, each.difficulty
        if problem is None and used[task] & clusters:
            problem = "has rows of another episode of its task, or rows that repeat those"
        used[task] |= clusters
        if problem is not None:
            findings.add(EPISODES, f"{EPISODES}, line {number:,} ({each.name}) {problem}.")
    if findings:
        return findings
    for number, (each, wanted) in enumerate(zip(episodes, expected, strict=False), 1):
        if each != wanted:
            findings.add(EPISODES, f"{EPISODES}, line {number:,} ({each.name}) is not as the rows make it.")
    if len(episodes) != len(expected):
        told = f"{EPISODES} has {len(episodes):,} episodes, and the rows make {len(expected):,}."
        findings.add(EPISODES, told)
    return findings


def _problem(each: Episode, members: Mapping[int, tuple[str, Member]], options: EpisodeOptions) -> str | None:
    ids = (*each.support, *each.query)
    if len(each.support) != options.support or len(each.query) != options.query:
        return f"has {len(each.support)}+{len(each.query)} rows and not {options.support}+{options.query}"
    if len(set(ids)) < len(ids):
        return "has a row twice"
    if stranger := next(filter(None, (_strangeness(its, each, members, options) for its in ids)), None):
        return stranger
    clusters = [members[its][1].cluster for its in ids]
    if len(set(clusters)) < len(clusters):
        return "has rows that repeat one another"
    return None


def _strangeness(
    its: int, each: Episode, members: Mapping[int, tuple[str, Member]], options: EpisodeOptions
) -> str | None:
    """Why a row does not belong in the episode."""
    if its not in members:
        return f"names row {its}, which is not in the bundle"
    split, member = members[its]
    if split != each.split:
        return f"is of {each.split} and names row {its} of {split}"
    if task_of(member, options.tasks) != (each.domain, each.topic, each.difficulty):
        return f"names row {its} of another task"
    return None
