"""What a person can mend; the text of each is one sentence that says how."""


class BadRun(Exception):
    """The data, the model or the settings of a run do not go together."""
