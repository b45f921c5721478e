"""All pages of the reference, made of what the code says of itself. Nothing is started, and nothing asked."""

from pathlib import Path

from api.app import create_app
from bench.__main__ import claims
from bench.__main__ import make_parser as make_bench_parser
from cli.app import app as questmill
from cli.database import db
from local.__main__ import make_parser as make_local_parser
from local.rehearsal.config import RehearsalConfig
from reference.api_page import api_page
from reference.command_lines import read_argparse, read_overview, read_typer
from reference.commands_page import commands_page
from reference.job_spec_page import SPEC, job_spec_page
from reference.settings_page import settings_page
from reference.shape_sections import reachable
from shared.settings import Settings
from training.app import app as training

ROOT = Path(__file__).parents[1]
WRITTEN = "<!-- ./run reference writes this page from the code: change it there. -->"


def make_pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    document = create_app(Settings.model_construct()).openapi()
    shapes = document["components"]["schemas"]
    commands = {
        "The stack": list(read_argparse(make_local_parser(), "./run")),
        "The client": [each for each in read_typer(questmill, "./run questmill") if " db " not in each.path],
        "The schema": list(read_typer(db, "./run db")),
        "Training": list(read_typer(training, "./run")),
        "Measurements": list(read_argparse(make_bench_parser(), "./run bench")),
    }
    pages = {
        "api.md": api_page(document),
        "job_spec.md": job_spec_page({name: shapes[name] for name in reachable([SPEC], shapes)}),
        "settings.md": settings_page(Settings, RehearsalConfig),
        "commands.md": commands_page(commands, claims(), read_overview((ROOT / "run").read_text())),
    }
    return {name: "\n".join([WRITTEN, "", *lines]).rstrip("\n") + "\n" for name, lines in pages.items()}
