from itertools import product

import pytest

from shared.access.key_text import KEY, TOKEN, check_name, hash_secret, make_key, make_token
from shared.access.scopes import Scope


@pytest.mark.parametrize(("held", "needed"), list(product(Scope, Scope)))
def test_each_scope_may_all_that_those_before_it_may(held: Scope, needed: Scope) -> None:
    assert held.covers(needed) is (list(Scope).index(held) >= list(Scope).index(needed))


def test_the_order_is_read_submit_admin() -> None:
    assert [str(scope) for scope in Scope] == ["read", "submit", "admin"]


def test_keys_and_tokens_look_as_they_should_and_never_repeat() -> None:
    keys, tokens = {make_key() for _ in range(1000)}, {make_token() for _ in range(1000)}
    assert len(keys) == len(tokens) == 1000
    assert all(KEY.fullmatch(key) for key in keys)
    assert all(TOKEN.fullmatch(token) for token in tokens)
    # A session's token in the place of a key is none, nor the other way round.
    assert not any(TOKEN.fullmatch(key) for key in keys)
    assert len({hash_secret(key) for key in keys}) == 1000
    assert len(hash_secret("")) == 32


@pytest.mark.parametrize("name", ["", "7", "1st", "-a", "A", "a b", "a\n", "a" * 65, "é"])
def test_a_name_is_never_a_number_nor_unfit_for_a_log(name: str) -> None:
    with pytest.raises(ValueError, match="beginning with a letter"):
        check_name(name)
    assert check_name("ci.nightly-2_x") == "ci.nightly-2_x"
