import pytest

# Their assertions are what a failing test has to say.
for name in ("invariant", "jobs", "standstill", "strikes", "system"):
    pytest.register_assert_rewrite(f"tests.faults.{name}")
