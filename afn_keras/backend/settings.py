"""What the environment and keras.json say, before Keras is imported."""

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
    """The backend that the network runs on: tensorflow or jax.

    A keras.json that names another, for other projects, means TensorFlow.

    Args:
        environment: variables; without KERAS_BACKEND its keras.json counts.

    Raises:
        InputError: if KERAS_BACKEND is neither, or JAX is missing.
    """
    # Keras takes an empty one for none.
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
    """The file of settings that Keras reads when it is imported."""
    home = environment.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "keras.json"


def check_jax(flag: str) -> None:
    """Raises InputError if JAX, which `flag` needs, is not installed."""
    if importlib.util.find_spec("jax") is None:
        raise InputError(f"{flag}: needs JAX: pip install 'afn-keras[jax]'")


@contextlib.contextmanager
def keras_settled(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Within it Keras is imported on a backend that the network runs on.

    TensorFlow must be imported within it, too: it imports Keras.

    Args:
        environment: of this process; it is put back, since what this process
            starts decides anew.

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
        # TensorFlow has an assert for it, and says nothing.
        refused = isinstance(error, AssertionError) or "config" in reason
        file = keras_json(environment)
        if isinstance(error, InputError) or not (refused and file.exists()):
            raise
        raise InputError(
            f"{file}: Keras knows no such settings"
            f"{reason and f' ({reason})'}; correct it or remove it"
        ) from error
    finally:
        if named is None:
            environment.pop("KERAS_BACKEND", None)
        else:
            environment["KERAS_BACKEND"] = named


def import_keras() -> Any:
    """Imports Keras.

    Whatever keras.json says for other projects, images are channels last and
    numbers are float32 here: files, artifacts and scores depend on both.

    Raises:
        InputError: as `keras_settled`, or if Keras was imported on another
            backend before.
    """
    with keras_settled(os.environ):
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
