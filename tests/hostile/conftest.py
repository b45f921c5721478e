"""The servers and the API of the service tests, for those who attack them."""

from tests.service.api.conftest import providers as providers  # noqa: PLC0414 - fixtures
from tests.service.conftest import database_url as database_url  # noqa: PLC0414
from tests.service.conftest import engine as engine  # noqa: PLC0414
from tests.service.conftest import postgres_url as postgres_url  # noqa: PLC0414
from tests.service.conftest import redis_url as redis_url  # noqa: PLC0414
from tests.service.conftest import template_database as template_database  # noqa: PLC0414
from tests.service.conftest import valkey_url as valkey_url  # noqa: PLC0414
