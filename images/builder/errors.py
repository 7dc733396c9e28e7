"""The one error of an image build: a sentence that says what went wrong and what to do."""


class BuildError(Exception):
    """Ends the build; its message is the last line the user reads."""
