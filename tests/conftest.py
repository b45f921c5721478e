"""What holds for all tests, wherever they run."""

import signal

from hypothesis import HealthCheck, settings

# How long an example takes says who else uses the machine.
settings.register_profile("questmill", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("questmill")

# Started in the background, a shell's child ignores Ctrl-C, and so would all processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
