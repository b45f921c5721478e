import httpx2

from api.wire import KEEP_ALIVE_SECONDS


def test_the_server_keeps_an_idle_connection_longer_than_a_client_uses_it() -> None:
    expiry = httpx2.Limits().keepalive_expiry
    assert expiry is not None
    assert expiry < KEEP_ALIVE_SECONDS
