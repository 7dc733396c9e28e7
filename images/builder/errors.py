"""The error of an image build: a sentence that states what failed and what to do."""


class BuildError(Exception):
    """Ends the build; its message is the last line the user reads."""
