"""The only file that knows of Keras versions.

Everything else takes `keras` and `ops` from here. Keras 3 is the supported
line; it runs the same code on TensorFlow (the default) and JAX.
"""

import keras
from keras import ops

if not keras.__version__.startswith("3."):
    raise ImportError(
        f"afn-keras needs Keras 3, this is {keras.__version__}: "
        "pip install --upgrade keras"
    )

__all__ = ["keras", "ops"]
