"""Predicts images with a SavedModel through TensorFlow's C API, on Linux.

Usage: python saved_model_c_api.py VERSION_FOLDER OUT.npz SIGNATURE.json
           IMAGE...

The way in for every language but Python: no Python code of TensorFlow, Keras
or this project is imported, only the shared library is loaded. SIGNATURE.json
names the graph's tensors, {"inputs": {name: tensor}, "outputs": {...}}, since
reading them from the SavedModel takes a parser of protocol buffers;
`write_signature` writes it.
"""

import ctypes
import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np

_STRING = 7
_TYPES = {1: np.float32, 10: np.bool_}
_STRING_BYTES = 24  # Of a TF_TString.


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def _load() -> ctypes.CDLL:
    # Finding a package does not import it.
    package = importlib.util.find_spec("tensorflow")
    folder = package.submodule_search_locations[0]
    ctypes.CDLL(f"{folder}/libtensorflow_framework.so.2", ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(f"{folder}/libtensorflow_cc.so.2")
    for name in (
        *("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions"),
        *("TF_LoadSessionFromSavedModel", "TF_AllocateTensor"),
        *("TF_TensorData", "TF_GraphOperationByName"),
        "TF_StringGetDataPointer",
    ):
        getattr(library, name).restype = ctypes.c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    for name in ("TF_Dim", "TF_TensorElementCount"):
        getattr(library, name).restype = ctypes.c_int64
    library.TF_StringGetSize.restype = ctypes.c_size_t
    return library


class Session:
    """A SavedModel, loaded to serve.

    Args:
        folder: the version's folder.
        signature: names of the tensors, as in SIGNATURE.json.
        threads: how many an operation may use.
    """

    def __init__(self, folder: str, signature: dict, threads: int) -> None:
        self._tf = _load()
        self._status = ctypes.c_void_p(self._tf.TF_NewStatus())
        self._graph = ctypes.c_void_p(self._tf.TF_NewGraph())
        self._signature = signature
        options = ctypes.c_void_p(self._tf.TF_NewSessionOptions())
        # A ConfigProto: its fields 2 and 5 are the numbers of threads.
        config = bytes([2 << 3, threads, 5 << 3, threads])
        self._tf.TF_SetConfig(
            options, config, ctypes.c_size_t(len(config)), self._status
        )
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = ctypes.c_void_p(
            self._tf.TF_LoadSessionFromSavedModel(
                *(options, None, os.fsencode(folder), tags, 1),
                *(self._graph, None, self._status),
            )
        )
        self._check()

    def ask(self, contents: list[bytes]) -> dict[str, np.ndarray]:
        """Answers for a batch of encoded images."""
        inputs = self._outputs(self._signature["inputs"])
        outputs = self._outputs(self._signature["outputs"])
        fed = (ctypes.c_void_p * 1)(self._strings(contents))
        fetched = (ctypes.c_void_p * len(outputs))()
        self._tf.TF_SessionRun(
            *(self._session, None, inputs, fed, 1),
            *(outputs, fetched, len(outputs), None, 0, None, self._status),
        )
        self._check()
        answers = {}
        for name, tensor in zip(
            self._signature["outputs"], fetched, strict=True
        ):
            answers[name] = self._array(ctypes.c_void_p(tensor))
            self._tf.TF_DeleteTensor(ctypes.c_void_p(tensor))
        self._tf.TF_DeleteTensor(ctypes.c_void_p(fed[0]))
        return answers

    def _check(self) -> None:
        if self._tf.TF_GetCode(self._status):
            sys.exit(self._tf.TF_Message(self._status).decode())

    def _outputs(self, tensors: dict[str, str]) -> ctypes.Array:
        result = (_Output * len(tensors))()
        for place, tensor in zip(result, tensors.values(), strict=True):
            operation, index = tensor.split(":")
            place.operation = self._tf.TF_GraphOperationByName(
                self._graph, operation.encode()
            )
            place.index = int(index)
        return result

    def _strings(self, contents: list[bytes]) -> int:
        shape = (ctypes.c_int64 * 1)(len(contents))
        size = ctypes.c_size_t(_STRING_BYTES * len(contents))
        tensor = self._tf.TF_AllocateTensor(_STRING, shape, 1, size)
        start = self._tf.TF_TensorData(ctypes.c_void_p(tensor))
        for index, content in enumerate(contents):
            place = ctypes.c_void_p(start + _STRING_BYTES * index)
            self._tf.TF_StringInit(place)
            self._tf.TF_StringCopy(
                place, content, ctypes.c_size_t(len(content))
            )
        return tensor

    def _array(self, tensor: ctypes.c_void_p) -> np.ndarray:
        shape = [
            self._tf.TF_Dim(tensor, axis)
            for axis in range(self._tf.TF_NumDims(tensor))
        ]
        kind = self._tf.TF_TensorType(tensor)
        count = self._tf.TF_TensorElementCount(tensor)
        start = self._tf.TF_TensorData(tensor)
        if kind != _STRING:
            size = count * np.dtype(_TYPES[kind]).itemsize
            content = ctypes.string_at(start, size) if size else b""
            return np.frombuffer(content, _TYPES[kind]).reshape(shape)
        values = []
        for index in range(count):
            place = ctypes.c_void_p(start + _STRING_BYTES * index)
            values.append(
                ctypes.string_at(
                    self._tf.TF_StringGetDataPointer(place),
                    self._tf.TF_StringGetSize(place),
                )
            )
        return np.array(values, "S").reshape(shape)


def write_signature(
    folder: Path, path: Path, name: str = "serving_default"
) -> None:
    """Writes SIGNATURE.json for a SavedModel's version folder."""
    # Not at the top: the child process must not import it.
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    definition = saved.meta_graphs[0].signature_def[name]
    tensors = {
        kind: {name: info.name for name, info in sorted(infos.items())}
        for kind, infos in (
            ("inputs", definition.inputs),
            ("outputs", definition.outputs),
        )
    }
    path.write_text(json.dumps(tensors), encoding="utf-8")


def main() -> None:
    """Writes every output to an .npz file."""
    folder, output, signature, *images = sys.argv[1:]
    names = json.loads(Path(signature).read_text(encoding="utf-8"))
    session = Session(folder, names, 2)
    np.savez(output, **session.ask([Path(i).read_bytes() for i in images]))
    foreign = {"tensorflow", "keras", "afn_keras", "exports", "pipelines"}
    foreign &= set(sys.modules)
    if foreign:
        sys.exit(f"imported what a server does not have: {sorted(foreign)}")


if __name__ == "__main__":
    main()
