# One image for every process; docker-compose.yml says which one a container runs.
FROM python:3.13-slim AS packages

# Set it where packages come from an index of your own; this stage is not in the image, so a password in it is not either.
ARG PIP_INDEX_URL
COPY requirements/server.txt requirements/
RUN python -m venv --without-pip /venv && \
    python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check --no-deps \
    --require-hashes --requirement requirements/server.txt

# Set it to anything for the packages of docs/tracing.md.
ARG TRACING
COPY requirements/tracing.txt requirements/
RUN test -z "$TRACING" || python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --no-deps --require-hashes --requirement requirements/tracing.txt

FROM python:3.13-slim

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin questmill && \
    install -d -o questmill /data
# The second line keeps memory small, as local/process.py says.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 OPENBLAS_NUM_THREADS=1
WORKDIR /app
COPY --from=packages /venv /venv
COPY alembic.ini ./
COPY migrations migrations
COPY shared shared
COPY api api
COPY cli cli
COPY workers workers
COPY local local
# Containers cannot write here: what is not compiled now would be compiled at every start.
RUN python -m compileall -q .

USER questmill
CMD ["python", "-m", "api"]
