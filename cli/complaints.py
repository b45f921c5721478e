"""Whatever goes wrong in a command, as one sentence on stderr and an exit code."""

import errno
import sys
from collections.abc import Callable
from typing import NoReturn

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError, UsageError

from cli.plain_words import ApiProblem, BadArgument
from cli.spec_file import BadSpecFile
from shared.bundle.names import BadBundle
from shared.errors import InvalidInput

INTERRUPTED = 130
WHAT_TO_DO = {
    errno.ENOSPC: "no room is left on its disk. Free some, or choose another place",
    errno.EDQUOT: "your quota on its disk is used up. Free some, or choose another place",
    errno.EACCES: "permission denied. Choose another place, or change who may use it",
    errno.EPERM: "permission denied. Choose another place, or change who may use it",
    errno.EROFS: "its disk is read-only. Choose another place",
    errno.ENOENT: "there is no such file or folder. Look at how it is written",
    errno.ENOTDIR: "one of its folders is a file. Look at how it is written",
    errno.EISDIR: "it is a folder, and a file is needed. Add the file's name",
}

# What the library that reads arguments says, and people would not.
IN_PLAIN_WORDS = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "write a whole number",
    "Input should be a valid number, unable to parse string as a number": "write a number",
    "Input should be greater": "write a number greater",
    "Input should be less": "write a number less",
}


def complaining_plainly(run: Callable[[], object]) -> NoReturn:
    """Run a command line and end the process: 0, what the command says, 1 for a failure, 2 for wrong arguments."""
    try:
        code = run()
    except ApiProblem as problem:
        errors = problem.problem.get("errors") or []
        fail(str(problem), *(f"  {each['loc']}: {each['msg']}" for each in errors if len(errors) > 1))
    except (BadArgument, BadBundle, BadSpecFile, ImportError) as error:
        fail(str(error))
    except InvalidInput as error:
        fail(error.detail)
    except OSError as error:
        if error.errno == errno.EPIPE:
            # Nobody reads on, as with `| head`; nor shall Python try when it ends.
            sys.stdout = sys.stderr = open("/dev/null", "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the end
            raise SystemExit(1) from None
        fail(describe(error))
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except NoArgsIsHelpError as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except ClickException as error:
        fail(_usage(error), code=error.exit_code)
    if code == INTERRUPTED:
        fail("Interrupted; the same command can be given again.", code=INTERRUPTED)
    raise SystemExit(code if isinstance(code, int) else 0)


def describe(error: OSError) -> str:
    """What the system refused, and what to do."""
    what = error.filename or "A file"
    return f"{what}: {WHAT_TO_DO.get(error.errno or 0) or error.strerror or error}."


def fail(*lines: str, code: int = 1) -> NoReturn:
    """The first line is the sentence; others name single fields."""
    sys.stderr.write("Error: " + "\n".join(lines) + "\n")
    raise SystemExit(code)


def _usage(error: ClickException) -> str:
    said = " ".join(error.format_message().split()).rstrip(".")
    for theirs, ours in IN_PLAIN_WORDS.items():
        said = said.replace(theirs, ours)
    said += "" if said.endswith("?") else "."
    context = error.ctx if isinstance(error, UsageError) else None
    return f"{said} See {context.command_path} --help" if context else said
