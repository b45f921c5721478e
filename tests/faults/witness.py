"""An observer inside Postgres: triggers that note who held which batch, and whatever breaks a rule at its commit.

The system knows nothing of it. What it notes is independent of the code that it watches.
"""

from typing import Any

import psycopg

# A breach is noted, not refused: the code under test must keep the rule by itself. The checks on questions run at
# COMMIT, when the rule has to hold, on what is committed by then.
INSTALL = """
CREATE SCHEMA witness;
CREATE TABLE witness.claim (
    batch_id uuid, fence int, worker text, was text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE witness.reread (question_id bigint);
CREATE TABLE witness.breach (what text, detail text, at timestamptz DEFAULT clock_timestamp());

CREATE FUNCTION witness.note_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.claim (batch_id, fence, worker, was) VALUES (NEW.id, NEW.fence, NEW.worker, OLD.state);
    IF OLD.state = 'leased' AND OLD.lease_until > clock_timestamp() THEN
        INSERT INTO witness.breach (what, detail)
        VALUES ('claimed while held', format('batch %s, fence %s', NEW.id, NEW.fence));
    END IF;
    PERFORM pg_notify('witness_claim', NEW.id || ' ' || NEW.worker);
    RETURN NULL;
END $$;
CREATE TRIGGER witness_claim AFTER UPDATE OF fence ON batch FOR EACH ROW
    WHEN (NEW.fence <> OLD.fence AND NEW.state = 'leased') EXECUTE FUNCTION witness.note_claim();

CREATE FUNCTION witness.check_question() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE holder record; job_state text;
BEGIN
    -- The API takes in what it reads again in stored replies. For that nobody has to hold a batch.
    IF current_setting('application_name') LIKE 'questmill-api%' THEN
        INSERT INTO witness.reread (question_id) VALUES (NEW.id);
        RETURN NULL;
    END IF;
    SELECT fence, state INTO holder FROM batch WHERE id = NEW.batch_id;
    IF holder.fence IS DISTINCT FROM NEW.fence OR holder.state <> 'leased' THEN
        INSERT INTO witness.breach (what, detail) VALUES ('question of a stale holder',
            format('question %s, fence %s; batch %s is %s with fence %s',
                NEW.id, NEW.fence, NEW.batch_id, holder.state, holder.fence));
    END IF;
    SELECT state INTO job_state FROM job WHERE id = NEW.job_id;
    IF job_state NOT IN ('running', 'paused') THEN
        INSERT INTO witness.breach (what, detail)
        VALUES ('question after the end', format('question %s, job %s is %s', NEW.id, NEW.job_id, job_state));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER witness_question AFTER INSERT ON question DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.job_id IS NOT NULL) EXECUTE FUNCTION witness.check_question();

CREATE FUNCTION witness.check_budget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.breach (what, detail) VALUES ('budget exceeded',
        format('job %s: %s spent + %s held of %s', NEW.job_id, NEW.spent_usd, NEW.held_usd, NEW.budget_usd));
    RETURN NULL;
END $$;
CREATE TRIGGER witness_budget AFTER UPDATE ON job_budget FOR EACH ROW
    WHEN (NEW.spent_usd + NEW.held_usd > NEW.budget_usd) EXECUTE FUNCTION witness.check_budget();

CREATE FUNCTION witness.note_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('witness_job', NEW.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER witness_job AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION witness.note_job();
"""


def install_witness(database_url: str) -> None:
    """Begin to watch a migrated database; once is enough."""
    with psycopg.connect(database_url) as conn:
        if conn.execute("SELECT to_regnamespace('witness')").fetchone() == (None,):
            conn.execute(INSTALL)


def breaches(conn: psycopg.Connection[Any]) -> list[str]:
    """Every rule that was broken so far, in words."""
    rows = conn.execute("SELECT what, detail FROM witness.breach ORDER BY at").fetchall()
    return [f"{what}: {detail}" for what, detail in rows]
