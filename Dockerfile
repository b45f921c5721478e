# One image for every process; docker-compose.yml and deploy/kubernetes/ say which one a container runs.
# A digest pins the base to the byte, also for two architectures: --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE} AS packages

# Set it where packages come from an index of your own; this stage is not in the image, so a password in it is not either.
ARG PIP_INDEX_URL
COPY requirements/server.txt requirements/
RUN python -m venv --without-pip /venv && \
    python -m pip --python /venv/bin/python install --no-cache-dir --no-compile --disable-pip-version-check --no-deps \
    --require-hashes --requirement requirements/server.txt

# Set it to anything for the packages of docs/tracing.md.
ARG TRACING
COPY requirements/tracing.txt requirements/
RUN test -z "$TRACING" || python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --no-deps --require-hashes --requirement requirements/tracing.txt

# Read by no process: tests, what compilers need, Arrow's own network protocol and its client for S3.
RUN cd /venv/lib/python3*/site-packages && find . -type d -name tests -prune -exec rm -rf {} + && \
    rm -rf pyarrow/include pyarrow/src pyarrow/lib*flight* pyarrow/*_flight* pyarrow/libarrow_s3* pyarrow/_s3fs*
# Containers cannot write: what is not compiled now would be compiled at every start. By hash and not by time of change,
# so that two builds make the same bytes.
RUN python -m compileall -q --invalidation-mode unchecked-hash /venv/lib

FROM ${PYTHON_IMAGE}

# Not by useradd, which notes the day.
RUN echo 'questmill:x:10001:' >> /etc/group && \
    echo 'questmill:x:10001:10001::/nonexistent:/usr/sbin/nologin' >> /etc/passwd && \
    install -d -o questmill /data
# The system's authorities, also for the OpenSSL that is in psycopg's wheel and looks elsewhere; what keeps memory small, as
# local/process.py says.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
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
RUN python -m compileall -q --invalidation-mode unchecked-hash .

# By number: Kubernetes can tell then that it is not root.
USER 10001:10001
CMD ["python", "-m", "api"]
