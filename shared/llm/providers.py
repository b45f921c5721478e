"""The providers that this process holds a key for."""

from shared.llm.provider import Provider
from shared.settings import Settings


def open_providers(settings: Settings) -> dict[str, Provider]:
    """A client per provider with a key, by name; close each. Base URLs come from the settings alone.

    Must be called in the event loop that will make the calls.
    """
    # Each SDK is imported where there is a key for it: Anthropic's alone takes a second and 40 MB.
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
