"""What may go wrong with an artifact that is no fault of the user."""


class VerificationError(RuntimeError):
    """An artifact does not run, or answers otherwise than the network."""
