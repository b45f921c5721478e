"""`python -m cli`."""

import sys

INTERRUPTED = 130

if __name__ == "__main__":
    try:
        # Half a second, in which Ctrl-C is possible too.
        from cli.app import main

        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
