"""`questmill db` on real databases: an empty one, one of a release before, one that somebody changed."""

import psycopg
from alembic import command

from shared.database.schema import Standing, alembic_config, find_differences, look_at, read_steps, upgrade


def test_an_empty_database_is_upgraded_and_a_second_time_changes_nothing(empty_database: str) -> None:
    assert look_at(empty_database).standing is Standing.EMPTY
    for _ in range(2):
        upgrade(empty_database)
        found = look_at(empty_database)
        assert (found.standing, found.current) == (Standing.AGREES, read_steps()[-1].revision)
    assert find_differences(empty_database) == []


def test_what_somebody_changed_by_hand_is_named(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE dataset ADD COLUMN extra integer")
        connection.execute("DROP INDEX ix_call_failed")
        try:
            assert sorted(find_differences(database_url)) == [
                "add index: ix_call_failed",
                "remove column: dataset extra",
            ]
        finally:
            connection.execute("ALTER TABLE dataset DROP COLUMN extra")


def test_an_upgrade_that_meets_a_lock_lets_the_others_pass_and_tries_again(
    database_url: str,
) -> None:
    before, last = read_steps()[-2:]
    config = alembic_config(database_url)
    command.downgrade(config, before.revision)
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE job, dataset, question, call IN ACCESS EXCLUSIVE MODE")
        pauses: list[float] = []

        def let_go(seconds: float) -> None:
            pauses.append(seconds)
            holder.rollback()

        upgrade(database_url, sleep=let_go)
    assert pauses, "it met no lock"
    assert look_at(database_url).current == last.revision
