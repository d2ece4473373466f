"""Where readers put the problems that they find."""

from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import Problem


class ProblemLog:
    """Collects problems, or stops at the first.

    Args:
        strict: raise at the first problem instead of collecting.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.problems: list[Problem] = []

    def note(self, kind: Kind, image: str, source: str, detail: str) -> None:
        """Takes the fields of a `Problem`.

        Raises:
            InputError: if the log is strict.
        """
        problem = Problem(kind, image, source, detail)
        if self.strict:
            raise InputError(f"{problem}; mend it or leave out --strict")
        self.problems.append(problem)
