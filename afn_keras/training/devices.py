"""Data-parallel training: each device has the network and a part of a batch.

Uses TensorFlow's MirroredStrategy or, on JAX, Keras's DataParallel. The result
does not depend on the number of devices, except for rounding.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from afn_keras.backend import keras
from afn_keras.training.cluster import Devices
from pipelines.batches import Part
from pipelines.errors import InputError


@contextlib.contextmanager
def on_devices(devices: Devices, part: Part) -> Iterator[int]:
    """Distributes models that are built, compiled and fitted within.

    Must be entered before anything runs on a device.

    Args:
        devices: number of this machine's GPUs, or "all". Without GPUs, splits
            the CPU into as many devices, for tests.
        part: this process's part of the batches in a cluster; JAX only.

    Yields:
        The number of devices that share a batch of this process.

    Raises:
        InputError: if there are fewer devices, or processes have unequal
            numbers of them.
    """
    if keras.backend.backend() == "jax":
        names = _jax_devices(devices, part)
        count = len(names) // part.count
        if len(names) == 1:
            yield 1
            return
        # Each process loads its own part of each batch.
        spread = keras.distribution.DataParallel(
            devices=names, auto_shard_dataset=False
        )
        with spread.scope():
            yield count
        return
    if part.count > 1:
        raise InputError(
            f"{part.count} processes train together only on JAX: "
            "KERAS_BACKEND=jax"
        )
    names = _tensorflow_devices(devices)
    if len(names) == 1:
        yield 1
        return
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(names).scope():
        yield len(names)


def device_name() -> str:
    """Returns what training runs on, such as "cpu" or "2 x gpu"."""
    if keras.backend.backend() == "jax":
        spread = keras.distribution.distribution()
        names = keras.distribution.list_devices()[:1]
        if spread:
            names = spread.device_mesh.devices.ravel().tolist()
    else:
        import tensorflow as tf

        if tf.distribute.has_strategy():
            names = tf.distribute.get_strategy().extended.worker_devices
        else:
            gpus = tf.config.list_logical_devices("GPU")
            names = ["gpu:0" if gpus else "cpu:0"]
    kind = names[0].rpartition(":")[0].rpartition(":")[2].strip("/").lower()
    return kind if len(names) == 1 else f"{len(names)} x {kind}"


@contextlib.contextmanager
def on_one_device() -> Iterator[bool]:
    """Builds and runs models on this process's first device only, on JAX.

    Yields:
        Whether models from outside are distributed.
    """
    # Keras 2.15 has no distribution module.
    library = getattr(keras, "distribution", None)
    spread = library and library.distribution()
    if spread is None:
        yield False
        return
    library.set_distribution(None)
    try:
        yield True
    finally:
        library.set_distribution(spread)


def synchronize(model: keras.Model, together: bool) -> None:
    """Sets whether batch normalization uses the whole batch of all devices.

    Training needs it to give the result of one device. On JAX, layers always
    see the whole batch, and cannot be loaded if they were saved with this set.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = together and several
            if hasattr(layer, "fused"):
                # Keras 2.15: the fused operation sees only one device.
                layer.fused = not layer.synchronized


def _jax_devices(devices: Devices, part: Part) -> list[Any]:
    import jax
    import tensorflow as tf

    # TensorFlow only loads batches here, and would allocate the memory of all
    # GPUs.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    if devices != "all" and jax.config.jax_num_cpu_devices < devices:
        # Too late if JAX is already initialized.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices)
    names = keras.distribution.list_devices()
    if jax.local_device_count() * part.count != len(names) and part.count > 1:
        raise InputError(
            f"--cluster: process {part.index} sees {jax.local_device_count()} "
            f"devices of {len(names)}, which {part.count} processes have to "
            "share evenly; hide some with CUDA_VISIBLE_DEVICES"
        )
    if part.count > 1 or devices == "all":
        return names
    return names[: _checked(devices, names)]


def _tensorflow_devices(devices: Devices) -> list[str]:
    import tensorflow as tf

    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU" and devices not in (1, "all"):
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        (cpu,) = tf.config.list_physical_devices("CPU")
        # Too late if TensorFlow is already initialized.
        with contextlib.suppress(RuntimeError):
            tf.config.set_logical_device_configuration(cpu, parts)
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    if devices == "all":
        return names if kind == "GPU" else names[:1]
    return names[: _checked(devices, names)]


def _checked(devices: int, names: list[str]) -> int:
    if devices > len(names):
        raise InputError(
            f"--devices {devices}: there are {len(names)} ({', '.join(names)})"
        )
    return devices
