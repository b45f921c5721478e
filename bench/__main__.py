"""`./run bench`: measure, print JSON, draw a plot into docs/benchmarks/."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from bench.report import Report

# Each is a module of this folder with `CLAIM`, one sentence, and `measure(rounds)`, which returns a Report.
MEASURES = (
    "cpu_per_call",
    "throughput",
    "limiter_cpu",
    "unconfigured",
    "scaling",
    "rate_bound",
    "token_bound",
    "dirty_provider",
    "seed_speed",
    "novelty",
    "closed_loop",
    "worker_footprint",
    "admission",
    "import_rows",
    "export_rows",
    "database_size",
    "get_job",
    "pages",
    "post_job",
    "reconcile_tick",
    "tally_cost",
    "dedup",
    "ask_duplicates",
)
FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"


def claims() -> dict[str, str]:
    """What each measure claims, in a sentence."""
    return {name: import_module(f"bench.{name}").CLAIM for name in MEASURES}


def make_parser() -> argparse.ArgumentParser:
    """The measures and the options."""
    listed = "\n".join(f"  {name:<16} {claim}" for name, claim in claims().items())
    parser = argparse.ArgumentParser(
        prog="./run bench",
        description="Measure on this machine. Nothing else should run meanwhile.",
        epilog=f"measures:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a measure; all of them when left out")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is measured (default 3)")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="where plots and JSON go")
    return parser


def main() -> int:
    """Run the measures named, all when none is; 1 when a claim does not hold."""
    parser = make_parser()
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(MEASURES):
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    failed = []
    for name in arguments.names or MEASURES:
        report: Report = import_module(f"bench.{name}").measure(arguments.rounds)
        report.write(arguments.out, name)
        sys.stdout.write(report.to_json())
        sys.stdout.flush()
        failed += [] if report.holds else [name]
    if failed:
        sys.stderr.write(f"not reached: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
