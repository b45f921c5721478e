-- What a restored database needs before a worker may see it. `./run restore` runs it; by hand: docs/backup.md.
--
-- Promise 3. A restore sets fences back, so a worker that survived from before could show a number that a new holder is
-- given again, and both would write. Hence every open batch gets a fence beyond all that were ever given: the seconds
-- since 2026, which grow faster than a batch is claimed. Unlike a fixed step it is also beyond the fences of an earlier
-- restore of the same file, and it fits the column until 2094. The 1,000 keep it rising where a clock was set back.
--
-- Nobody holds a batch any more and no hint is under way; the hold that ended so was no failed attempt. Calls that were
-- in flight are booked as unknown when their batch is claimed, as after any crash.
UPDATE batch SET
    fence = GREATEST(fence + 1000, EXTRACT(epoch FROM clock_timestamp() - '2026-01-01 00:00:00+00')::integer),
    attempts = CASE WHEN state = 'leased' THEN GREATEST(attempts - 1, 0) ELSE attempts END,
    state = 'pending', lease_until = NULL, worker = NULL, hinted_at = NULL
WHERE state IN ('pending', 'leased');

-- Whoever signed out since the backup stays so: browsers sign in anew.
DELETE FROM api_session;

-- A dump may bring no statistics, and admission needs its indexes at once.
ANALYZE;
