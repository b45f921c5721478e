"""Promise 8: what the views tell, and the same recounted from the rows. The two are equal at any moment."""

COUNTS = {
    "question": (
        """SELECT dataset_id, domain, difficulty, state, questions, prompt_tokens, completion_tokens, validated,
               answered
           FROM question_count""",
        """SELECT dataset_id, domain, difficulty, state, COUNT(*), SUM(prompt_tokens)::bigint,
               COALESCE(SUM(completion_tokens), 0)::bigint, SUM(validated::int)::bigint, SUM(answered::int)::bigint
           FROM question GROUP BY 1, 2, 3, 4""",
    ),
    "batch": (
        "SELECT job_id, stage, domain, difficulty, what, name, n FROM batch_count",
        """SELECT job_id, stage, domain, difficulty, what, name, SUM(n)::bigint FROM (
               SELECT *, 'batches' AS what, state AS name, 1 AS n FROM batch
               UNION ALL SELECT *, 'generated', '', generated FROM batch
               UNION ALL SELECT *, 'admitted', '', admitted FROM batch
               UNION ALL SELECT batch.*, 'rejected', key, value::int FROM batch, jsonb_each_text(rejected)
               UNION ALL SELECT batch.*, 'repaired', key, value::int FROM batch, jsonb_each_text(repaired)) AS each
           GROUP BY 1, 2, 3, 4, 5, 6 HAVING SUM(n) <> 0""",
    ),
    "call": (
        """SELECT job_id, stage, difficulty, state, outcome, again, model, calls, input_tokens, output_tokens,
               pico_usd
           FROM call_count""",
        """SELECT job_id, stage, difficulty, state, COALESCE(outcome, 'in flight'), attempt > 1, model, COUNT(*),
               COALESCE(SUM(input_tokens), 0)::bigint, COALESCE(SUM(output_tokens), 0)::bigint,
               (COALESCE(SUM(cost_usd), 0) * 1e12)::bigint
           FROM call GROUP BY 1, 2, 3, 4, 5, 6, 7""",
    ),
}
