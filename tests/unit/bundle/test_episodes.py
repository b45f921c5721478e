"""Episodes are disjoint, of the sizes asked for, and the same each time."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shared.bundle.episode_counts import count_episodes, warn_of_cells, warn_of_splits
from shared.bundle.episodes import Episode, EpisodeOptions, Member, Tasks, cut_episodes, task_of

MEMBERS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["x", "y", "x/y"]), st.sampled_from(["easy", "hard"]), st.integers(0, 40)
    ),
    max_size=150,
).map(lambda kinds: [Member(1000 + number, *each[:3], each[3]) for number, each in enumerate(kinds)])
OPTIONS = st.builds(EpisodeOptions, st.sampled_from(Tasks), st.integers(1, 4), st.integers(1, 6))


@given(MEMBERS, OPTIONS)
def test_episodes_share_nothing_and_fill_what_they_can(members: list[Member], options: EpisodeOptions) -> None:
    episodes = cut_episodes("train", members, options)
    known = {member.id: member for member in members}
    used: Counter[int] = Counter()
    for each in episodes:
        ids = [*each.support, *each.query]
        assert (len(each.support), len(each.query)) == (options.support, options.query)
        assert {task_of(known[its], options.tasks) for its in ids} == {(each.domain, each.topic, each.difficulty)}
        used.update(ids)
    assert all(count == 1 for count in used.values())
    assert len({each.name for each in episodes}) == len(episodes)
    for task in {task_of(member, options.tasks) for member in members}:
        of_task = [each for each in episodes if (each.domain, each.topic, each.difficulty) == task]
        clusters = [known[its].cluster for each in of_task for its in (*each.support, *each.query)]
        assert len({*clusters}) == len(clusters)
        there = {member.cluster for member in members if task_of(member, options.tasks) == task}
        assert len(of_task) == len(there) // options.size


@given(MEMBERS, OPTIONS)
def test_the_same_rows_make_the_same_episodes(members: list[Member], options: EpisodeOptions) -> None:
    assert cut_episodes("test", members, options) == cut_episodes("test", iter(members), options)


def test_names_of_tasks_are_unmistakable() -> None:
    members = [Member(1, "a/b", "c", "easy", 1), Member(2, "a", "b/c", "easy", 2), Member(3, "a%2Fb", "c", "easy", 3)]
    names = {each.name for each in cut_episodes("train", [*members, *members], EpisodeOptions(support=1, query=0))}
    assert len(names) == 3
    assert "train/a%2Fb/c/0" in names


def test_what_is_no_part_of_the_task_is_none() -> None:
    members = [Member(1, "math", "sets", "hard", 1), Member(2, "math", "sets", "hard", 2)]

    def only(tasks: Tasks) -> Episode:
        [episode] = cut_episodes("train", members, EpisodeOptions(tasks, 1, 1))
        return episode

    assert only(Tasks.TOPIC).to_json() == {
        "episode": "train/math/sets/0",
        "split": "train",
        "domain": "math",
        "topic": "sets",
        "difficulty": None,
        "support": [1],
        "query": [2],
    }
    assert (only(Tasks.DIFFICULTY).topic, only(Tasks.DIFFICULTY).name) == (None, "train/math/hard/0")
    assert only(Tasks.TOPIC_DIFFICULTY).name == "train/math/sets/hard/0"


def test_small_cells_and_tasks_are_warned_of() -> None:
    members = [("train", Member(number, "math", "sets", "hard", number)) for number in range(66)]
    options = EpisodeOptions()
    assert warn_of_cells(members, options) == ["math/hard: at most 3 episodes from 66 rows, of 5+15"]
    episodes = cut_episodes("train", [member for _, member in members], options)
    counted = count_episodes([*members, ("test", Member(99, "math", "logic", "hard", 99))], episodes, options.tasks)
    assert counted["train"] == {"episodes": 3, "tasks": 1, "unseen_tasks": 0, "too_small_tasks": 0}
    told = warn_of_splits(counted, options)
    assert told[0] == "test: 1 of 1 tasks have too few rows for an episode of 5+15"
    assert any(each.startswith("test: no episode is of a task that training never sees") for each in told)
