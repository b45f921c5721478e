"""What the stages have to say about a question, as parts of the statements that show it."""

from shared.questions.judging import CRITERIA

# A trainer sees the answer of the first model that its job named, its smallest sample, the newest of several: as
# `complete_questions` chooses it. Of a dataset these are few rows, read once.
FIRST_MODELS = """
    first_model AS MATERIALIZED (
        SELECT job.id AS job_id, named.key AS difficulty,
            CASE jsonb_typeof(named.value) WHEN 'array' THEN named.value ->> 0 ELSE named.value #>> '{}' END AS model
        FROM job CROSS JOIN LATERAL jsonb_each(COALESCE(job.spec #> '{models,answer}', '{}')) AS named
        WHERE job.dataset_id = :dataset_id)
"""
ANSWER_ORDER = """
    (answer.model = first_model.model) IS TRUE DESC, answer.sample, answer.created_at DESC, answer.model,
    answer.prompt_version
"""
_ANSWERS = """
    FROM answer LEFT JOIN first_model
        ON first_model.job_id = answer.job_id AND first_model.difficulty = question.difficulty
    WHERE answer.question_id = question.id
"""
FIRST_ANSWER = f"""
    LEFT JOIN LATERAL (
        SELECT answer.text, answer.model, answer.tokens, answer.checked, answer.prompt_version, answer.call_id
        {_ANSWERS} ORDER BY {ANSWER_ORDER} LIMIT 1
    ) AS first ON true
"""
ALL_ANSWERS = f"""
    LEFT JOIN LATERAL (
        SELECT json_agg(json_build_object('model', answer.model, 'sample', answer.sample, 'text', answer.text,
            'tokens', answer.tokens) ORDER BY {ANSWER_ORDER}) AS answers {_ANSWERS}
    ) AS every ON true
"""
MEAN_SCORES = ", ".join(f"'{name}', round(AVG((scores ->> '{name}')::numeric), 3)" for name in CRITERIA)
SCORES = f"""
    LEFT JOIN LATERAL (
        SELECT json_build_object({MEAN_SCORES}) AS scores FROM verdict
        WHERE verdict.question_id = question.id HAVING COUNT(*) > 0
    ) AS judged ON true
"""  # noqa: S608 - the criteria are constants
