"""Reads the environment and keras.json before Keras is imported."""

import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from pipelines.errors import InputError

_BACKENDS = ("tensorflow", "jax")


def keras_backend(environment: Mapping[str, str]) -> str:
    """Returns the backend that the network runs on: tensorflow or jax.

    TensorFlow if keras.json names another backend, for other projects.

    Args:
        environment: variables; without KERAS_BACKEND, keras.json is read.

    Raises:
        InputError: if KERAS_BACKEND is neither, or JAX is missing.
    """
    # Like Keras, treats an empty value as unset.
    if backend := environment.get("KERAS_BACKEND"):
        if backend not in _BACKENDS:
            raise InputError(
                f"KERAS_BACKEND={backend}: the network runs on tensorflow or "
                "jax"
            )
        where = f"KERAS_BACKEND={backend}"
    else:
        file = keras_json(environment)
        with contextlib.suppress(OSError, ValueError, AttributeError):
            backend = json.loads(file.read_text("utf-8")).get("backend")
        if backend not in _BACKENDS:
            return "tensorflow"
        where = f"{file}: backend {backend}"
    if backend == "jax":
        check_jax(where)
    return backend


def keras_json(environment: Mapping[str, str]) -> Path:
    """Returns the settings file that Keras reads when it is imported."""
    home = environment.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "keras.json"


def check_jax(flag: str) -> None:
    """Raises InputError if JAX, which `flag` needs, is not installed."""
    if importlib.util.find_spec("jax") is None:
        raise InputError(f"{flag}: needs JAX: pip install 'afn-keras[jax]'")


@contextlib.contextmanager
def supported_backend(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Makes Keras use a supported backend while it is imported.

    TensorFlow must be imported within it, too: it imports Keras.

    Args:
        environment: of this process; it is restored afterwards, since child
            processes choose their own backend.

    Raises:
        InputError: as `keras_backend`, or if Keras refuses its keras.json.
    """
    named = environment.get("KERAS_BACKEND")
    if "keras" not in sys.modules:
        environment["KERAS_BACKEND"] = keras_backend(environment)
    try:
        yield
    except (AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())
        # TensorFlow raises an AssertionError without a message.
        refused = isinstance(error, AssertionError) or "config" in reason
        file = keras_json(environment)
        if isinstance(error, InputError) or not (refused and file.exists()):
            raise
        raise InputError(
            f"{file}: Keras does not accept these settings"
            f"{reason and f' ({reason})'}; correct it or remove it"
        ) from error
    finally:
        if named is None:
            environment.pop("KERAS_BACKEND", None)
        else:
            environment["KERAS_BACKEND"] = named


def import_keras() -> Any:
    """Imports Keras.

    Sets channels-last images and float32 whatever keras.json says for other
    projects: files, artifacts and scores depend on both.

    Raises:
        InputError: as `supported_backend`, or if Keras was already imported on
            another backend.
    """
    with supported_backend(os.environ):
        import keras
    if keras.backend.backend() not in _BACKENDS:
        raise InputError(
            f"Keras runs on {keras.backend.backend()} here, the network on "
            "tensorflow or jax; set KERAS_BACKEND=tensorflow before Keras or "
            "TensorFlow is imported"
        )
    keras.backend.set_image_data_format("channels_last")
    keras.backend.set_floatx("float32")
    keras.backend.set_epsilon(1e-7)
    return keras
