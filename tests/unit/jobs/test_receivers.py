import socket

import pytest

from shared.jobs.receivers import UnusableReceiver, check_url, is_public, resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",  # noqa: S104
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fd00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::",
        "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "::127.0.0.1", "::10.0.0.1",
        "::ffff:0:127.0.0.1", "::ffff:0:169.254.169.254", "64:ff9b:1::a00:1", "2001:db8::1",
        "3fff::1", "5f00::1", "100::1", "192.0.0.1", "192.0.0.192", "198.18.0.1", "240.0.0.1", "2002:a9fe:a9fe::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "168.63.129.16",
    ],
)  # fmt: skip
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "168.63.129.17", "1.1.1.1", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"]
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "//example.org/", "example.org/hook", "https://", "https:///x", "http://user:pw@example.org/",
        "https://example.org:0/", "https://example.org:99999/", "https://example.org/a b", "https://example.org/\n",
        "http://[::1", "https://ex\N{CYRILLIC SMALL LETTER A}mple.org/", "https://example.org/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_url(url)


# All but the first are ways to write an address of this machine.
@pytest.mark.parametrize(
    "host",
    [
        "localhost", "127.0.0.1", "[::1]", "2130706433", "127.1", "0x7f.1", "0177.0.0.1", "0", "0.0.0.0", "[::]",  # noqa: S104
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    ],
)  # fmt: skip
async def test_a_name_that_leads_inside_is_refused(host: str) -> None:
    with pytest.raises(UnusableReceiver, match="private network"):
        await resolve(f"http://{host}:80/hook", allow_private=False)


async def test_it_is_not_where_the_server_allows_it() -> None:
    assert await resolve("http://127.0.0.1:80/hook", allow_private=True) == ["127.0.0.1"]


async def test_a_name_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(UnusableReceiver, match="cannot be resolved"):
        await resolve("http://no-such-host.invalid/", allow_private=False)
