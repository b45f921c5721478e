"""The providers that this process holds a key for."""

from importlib import import_module

from shared.llm.bulk import BulkProvider
from shared.llm.provider import Provider
from shared.settings import Settings


def import_sdks(settings: Settings) -> None:
    """Import the SDK of each provider with a key, and of no other: Anthropic's alone takes a second and 40 MB.

    Before the event loop turns, which that second would block.
    """
    if settings.openai_api_key is not None:
        import_module("shared.llm.bulk_openai")
    if settings.anthropic_api_key is not None:
        import_module("shared.llm.bulk_anthropic")


def open_providers(settings: Settings) -> dict[str, Provider]:
    """A client per provider with a key, by name; close each. Base URLs come from the settings alone.

    Must be called in the event loop that will make the calls, after `import_sdks` elsewhere.
    """
    opened: dict[str, Provider] = {}
    if settings.openai_api_key is not None:
        from shared.llm.openai import OpenAIProvider

        opened["openai"] = OpenAIProvider(settings.openai_api_key.get_secret_value(), settings.openai_base_url)
    if settings.anthropic_api_key is not None:
        from shared.llm.anthropic import AnthropicProvider

        opened["anthropic"] = AnthropicProvider(
            settings.anthropic_api_key.get_secret_value(), settings.anthropic_base_url
        )
    return opened


def open_bulk_providers(settings: Settings) -> dict[str, BulkProvider]:
    """The same for bulk submissions; a client of their own for each, so that results do not queue behind calls."""
    opened: dict[str, BulkProvider] = {}
    if settings.openai_api_key is not None:
        from shared.llm.bulk_openai import OpenAIBulkProvider

        opened["openai"] = OpenAIBulkProvider(settings.openai_api_key.get_secret_value(), settings.openai_base_url)
    if settings.anthropic_api_key is not None:
        from shared.llm.bulk_anthropic import AnthropicBulkProvider

        opened["anthropic"] = AnthropicBulkProvider(
            settings.anthropic_api_key.get_secret_value(), settings.anthropic_base_url
        )
    return opened
