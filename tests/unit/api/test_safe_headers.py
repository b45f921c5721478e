"""Also what no middleware sees: the answer for an exception that nobody expected."""

from starlette.testclient import TestClient

from api.access import OPEN
from api.app import create_app
from shared.settings import Settings


def test_an_unexpected_error_tells_nothing_and_is_as_safe() -> None:
    app = create_app(Settings())

    async def fail() -> None:
        raise RuntimeError("qm_secret")

    app.add_api_route("/fail", fail, dependencies=[OPEN])
    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
    answer = client.get("/fail")
    assert answer.status_code == 500
    assert "qm_secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    counted = client.get("/metrics").text
    assert 'questmill_http_requests_total{method="GET",route="/fail",status="500"} 1.0' in counted
