"""The one exception that means "the input is wrong, not the program"."""


class InputError(ValueError):
    """Bad input: a file, a row or a flag.

    Its message is one line for a person: which file, row or flag, what is
    wrong with it, and the way out. Commands print that line and exit with
    code 2; in Python it is an ordinary `ValueError`.
    """
