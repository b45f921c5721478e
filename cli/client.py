"""Questmill from Python: `Questmill` and `AsyncQuestmill` for people, `Client` with every endpoint for programs."""

from cli.async_questmill import AsyncQuestmill
from cli.connection import Client
from cli.exchange import Event, Json
from cli.frames import MissingPackage
from cli.plain_words import ApiProblem, BadArgument
from cli.questmill import Questmill

__all__ = ["ApiProblem", "AsyncQuestmill", "BadArgument", "Client", "Event", "Json", "MissingPackage", "Questmill"]
