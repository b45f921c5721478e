"""What a key may do. Pure."""

from enum import StrEnum


class Scope(StrEnum):
    """Each may all that those before it may."""

    READ = "read"  # look: jobs, datasets, exports, plans, metrics
    SUBMIT = "submit"  # also post and steer jobs, import, take questions out and back
    ADMIN = "admin"  # also delete datasets and prune

    def covers(self, needed: "Scope") -> bool:
        """Whether a key of this scope may do what needs the other one."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)
