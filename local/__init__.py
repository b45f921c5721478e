"""The embedded stack: servers from wheels, our own processes, and the supervisor that keeps them."""
