# One image for every process; docker-compose.yml and deploy/kubernetes/ say which one a container runs.
# A digest pins the base to the byte, also for two architectures: --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE} AS packages

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

# Read by no process: tests, what compilers need, and Arrow's own network protocol.
RUN cd /venv/lib/python3*/site-packages && find . -type d -name tests -prune -exec rm -rf {} + && \
    rm -rf pyarrow/include pyarrow/src pyarrow/lib*flight* pyarrow/*_flight*

FROM ${PYTHON_IMAGE}

RUN groupadd --system --gid 10001 questmill && \
    useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin questmill && \
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

# By number: Kubernetes can tell then that it is not root.
USER 10001:10001
CMD ["python", "-m", "api"]
