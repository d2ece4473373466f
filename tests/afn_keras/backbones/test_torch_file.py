"""Files in the old layout of torch.save, written out by hand."""

import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from afn_keras.backbones.torch_file import read_arrays
from pipelines.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C


class Named:
    """Pickles as a name, such as torch.FloatStorage."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Storage:
    def __init__(self, kind, key, numbers):
        self.kind, self.key, self.numbers = kind, key, numbers


class Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.parts = storage, offset, shape, strides, False, OrderedDict()


class Pickler(pickle._Pickler):
    """Writes the three as PyTorch does; the Python version lets us."""

    def persistent_id(self, item):
        if isinstance(item, Storage):
            kind = Named("torch", item.kind)
            return "storage", kind, item.key, "cpu", len(item.numbers), None
        return None

    def save(self, item, save_persistent_id=True):
        if isinstance(item, Named):
            line = f"c{item.module}\n{item.name}\n"
            self.write(line.encode())
        elif isinstance(item, Tensor):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(item.parts)
            self.write(pickle.REDUCE)
        else:
            super().save(item, save_persistent_id)


def write(path, tensors, storages, magic=MAGIC):
    file = io.BytesIO()
    for part in (magic, 1001, {"little_endian": True}):
        pickle.dump(part, file, protocol=2)
    Pickler(file, protocol=2).dump(tensors)
    pickle.dump([storage.key for storage in storages], file, protocol=2)
    for storage in storages:
        file.write(struct.pack("<q", len(storage.numbers)))
        file.write(storage.numbers.tobytes())
    path.write_bytes(file.getvalue())
    return path


def test_tensors_are_read_as_they_are_strided(tmp_path):
    numbers = Storage("FloatStorage", "1", np.arange(24, dtype="<f4"))
    count = Storage("LongStorage", "2", np.array([7], "<i8"))
    tensors = OrderedDict(
        plain=Tensor(numbers, 0, (2, 3, 4), (12, 4, 1)),
        permuted=Tensor(numbers, 0, (4, 2, 3), (1, 12, 4)),
        part=Tensor(numbers, 5, (2, 2), (4, 1)),
        number=Tensor(count, 0, (), ()),
    )
    arrays = read_arrays(write(tmp_path / "a.pth", tensors, [numbers, count]))
    plain = np.arange(24, dtype="f4").reshape(2, 3, 4)
    np.testing.assert_array_equal(arrays["plain"], plain)
    np.testing.assert_array_equal(arrays["permuted"], plain.transpose(2, 0, 1))
    np.testing.assert_array_equal(arrays["part"], [[5, 6], [9, 10]])
    assert arrays["number"] == 7
    assert arrays["number"].dtype == "<i8"


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_nothing_that_a_file_names_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.pth", OrderedDict(a=Evil()), [])
    with pytest.raises(InputError, match=r"it names (posix|nt)\.system"):
        read_arrays(path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (5,), (1,)), (-1, (1,), (1,)), (0, (2,), (9,)), (3, (2,), (-1,))],
)
def test_a_tensor_outside_its_numbers(offset, shape, strides, tmp_path):
    numbers = Storage("FloatStorage", "1", np.zeros(4, "<f4"))
    tensors = OrderedDict(a=Tensor(numbers, offset, shape, strides))
    with pytest.raises(InputError, match="lies outside its numbers"):
        read_arrays(write(tmp_path / "a.pth", tensors, [numbers]))


def test_damaged_files(tmp_path):
    numbers = Storage("FloatStorage", "1", np.zeros(40, "<f4"))
    tensors = OrderedDict(a=Tensor(numbers, 0, (40,), (1,)))
    whole = write(tmp_path / "a.pth", tensors, [numbers]).read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "a.pth").write_bytes(whole[:size])
        with pytest.raises(InputError, match="no file of PyTorch tensors"):
            read_arrays(tmp_path / "a.pth")
    path = write(tmp_path / "b.pth", tensors, [numbers], magic=1)
    with pytest.raises(InputError, match="another layout"):
        read_arrays(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(tmp_path / "none.pth")
