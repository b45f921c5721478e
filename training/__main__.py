"""`python -m training`."""

import sys

INTERRUPTED = 130

if __name__ == "__main__":
    try:
        # Seconds, in which Ctrl-C is possible too.
        from training.app import main

        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
