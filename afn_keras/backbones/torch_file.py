"""Reads arrays from a file of PyTorch's, without PyTorch and without code."""

import collections
import pickle
from pathlib import Path
from typing import Any
from typing import BinaryIO

import numpy as np

from pipelines.errors import InputError

# The layout before PyTorch 1.6: five pickles, then the numbers.
_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict, by name.

    Pickle runs whatever a file names; this reads files that name nothing but
    tensors of floats and integers, and refuses others.

    Args:
        path: written by `torch.save` before PyTorch 1.6.

    Raises:
        InputError: if it cannot be read, is of another layout, damaged, or
            names anything but tensors.
    """
    try:
        with open(path, "rb") as file:
            return _read(file)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})"
        ) from error
    except (
        *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError),
        *(IndexError, AttributeError, OverflowError, MemoryError),
    ) as error:
        raise InputError(
            f"{path}: is no file of PyTorch tensors that this project reads "
            f"({error})"
        ) from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _Tensors(file).load() != _MAGIC:
        raise ValueError("another layout")
    _Tensors(file).load()  # The version of the layout.
    _Tensors(file).load()  # The machine that wrote it.
    unpickler = _Tensors(file)
    tensors = unpickler.load()
    data = {}
    for key in _Tensors(file).load():
        dtype, count = unpickler.storages[key]
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError("damaged")
        data[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: tensor.view(data) for name, tensor in tensors.items()}


class _Tensor:
    """Where a tensor's numbers are; its strides count numbers, not bytes."""

    def __init__(
        self, key: str, offset: int, shape: tuple, strides: tuple, *_: Any
    ) -> None:
        self.key, self.offset = key, offset
        self.shape, self.strides = shape, strides

    def view(self, data: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the tensor as an array of its own."""
        numbers = data[self.key]
        last = self.offset + sum(
            (size - 1) * stride
            for size, stride in zip(self.shape, self.strides, strict=True)
        )
        if min(self.offset, *self.shape, *self.strides, 0) < 0 or not (
            last < len(numbers)
        ):
            raise ValueError("a tensor lies outside its numbers")
        size = numbers.itemsize
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :],
            self.shape,
            [stride * size for stride in self.strides],
            writeable=False,
        ).copy()


class _Tensors(pickle.Unpickler):
    """Knows the names that a state dict needs, and no other."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[np.dtype, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Returns a stand-in for what a file of tensors names."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        """Notes a storage, whose numbers follow later; returns its key."""
        _, dtype, key, _, count, _ = pid
        self.storages[key] = (dtype, count)
        return key
