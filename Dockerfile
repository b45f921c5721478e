# One image for every process; docker-compose.yml says which one a container runs.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app
WORKDIR /app
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin questmill

# Set it where packages come from an index of your own.
ARG PIP_INDEX_URL
COPY requirements/core.txt requirements/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements/core.txt

COPY alembic.ini ./
COPY migrations migrations
COPY shared shared
COPY api api
COPY cli cli
COPY workers workers
COPY local local

USER questmill
CMD ["python", "-m", "api"]
