from tests.service.api.conftest import api_url, providers, spec

__all__ = ["api_url", "providers", "spec"]
