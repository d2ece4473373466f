"""The error of an artifact that fails its check."""


class VerificationError(RuntimeError):
    """Raised if an artifact does not run or differs from the network."""
