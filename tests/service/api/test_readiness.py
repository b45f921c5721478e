from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
import psycopg
from psycopg import sql

from api.readiness import SPILL_AT_ONCE, USE_DISK
from local.process import free_port
from tests.service.api.serving import api_settings, serving, silent_server
from tests.service.api.waits import answers_within


@contextmanager
def api(database_url: str, redis_url: str) -> Iterator[httpx2.Client]:
    with serving(api_settings(database_url, redis_url)) as url, httpx2.Client(base_url=url, timeout=10) as http:
        yield http


def readyz(http: httpx2.Client) -> tuple[int, dict[str, str]]:
    [*_, answer] = answers_within(1, lambda: http.get("/readyz"))
    return answer.status_code, answer.json()


def test_a_whole_system_is_ready(database_url: str, redis_url: str) -> None:
    with api(database_url, redis_url) as http:
        assert readyz(http) == (200, {"status": "ready", "database": "ok", "broker": "ok"})
        assert http.get("/healthz").status_code == 200


def test_an_absent_broker_is_degraded(database_url: str) -> None:
    with api(database_url, f"redis://127.0.0.1:{free_port()}/0") as http:
        status, body = readyz(http)
    assert (status, body["broker"]) == (200, "degraded")


def test_a_frozen_broker_is_degraded(database_url: str) -> None:
    with silent_server() as port, api(database_url, f"redis://127.0.0.1:{port}/0") as http:
        for _ in range(3):
            status, body = readyz(http)
            assert (status, body["broker"]) == (200, "degraded")


def test_an_absent_database_is_503(redis_url: str) -> None:
    with api(f"postgresql://nobody@127.0.0.1:{free_port()}/none", redis_url) as http:
        status, body = readyz(http)
        assert http.get("/healthz").status_code == 200
    assert (status, body["status"], body["broker"]) == (503, "unavailable", "ok")
    assert body["database"].startswith("away: ")


def test_a_frozen_database_is_503_within_a_second(redis_url: str) -> None:
    with silent_server() as port, api(f"postgresql://nobody@127.0.0.1:{port}/none", redis_url) as http:
        for _ in range(3):
            status, _ = readyz(http)
            assert status == 503


def test_a_read_only_database_is_503(database_url: str, redis_url: str) -> None:
    name = sql.Identifier(urlsplit(database_url).path[1:])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        try:
            with api(database_url, redis_url) as http:
                status, body = readyz(http)
        finally:
            connection.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
    assert (status, body["database"]) == (503, "away: it is read-only")


def test_the_check_writes_to_the_disk_of_the_tables_even_when_it_may_write_nothing(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(str(SPILL_AT_ONCE))
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {USE_DISK}"
        [[[report]]] = connection.execute(explain).fetchall()
        [[other_disks]] = connection.execute("SELECT current_setting('temp_tablespaces')").fetchall()
    assert report["Plan"]["Temp Written Blocks"] * 8192 > 500_000
    assert report["Execution Time"] < 200
    assert other_disks == ""
