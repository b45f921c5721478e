"""`./run up`: the whole system, until Ctrl-C."""

from collections.abc import Callable

from local.home import Home
from local.stack import Stack, StackPlan, has_key
from local.supervisor import Stopped
from shared.settings import Settings


def bring_up(settings: Settings, workers: int, say: Callable[[str], None]) -> None:
    """Start everything, say where it is, stay until asked to stop. Raises LocalProblem when it cannot."""
    rehearsal = not has_key(settings)
    home = Home(settings.home)
    plan = StackPlan(settings.api_port, settings.flower_port, workers, rehearsal)
    stack = Stack(home, settings, plan, say)
    try:
        with stack.running():
            say(_describe(stack))
            stack.supervisor.watch(lambda: False)
    except Stopped:
        say("Everything is stopped.")


def _describe(stack: Stack) -> str:
    models = (
        "rehearsal models, since no provider key is set: nothing is paid; "
        "for real ones set OPENAI_API_KEY or ANTHROPIC_API_KEY"
        if stack.plan.rehearsal
        else "yours, by the keys that are set"
    )
    settings = stack.settings
    names = ", ".join(settings.allowed_hosts) or settings.api_reached_at
    access = f"with a key, as {names}" if settings.keys_required else "of this machine only; docs/access.md"
    return "\n".join(
        [
            "Questmill is up. Ctrl-C stops everything.",
            f"  API, dashboard     {stack.api_url}/",
            f"  access             {access}",
            f"  Flower             {stack.flower_url}/",
            f"  data and logs      {stack.home.path}",
            f"  models             {models}",
        ]
    )
