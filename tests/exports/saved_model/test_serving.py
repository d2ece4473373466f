"""Tests the files for TF Serving, and clients.

No TensorFlow Serving runs here. The server below speaks its two protocols, as
its own package and its REST documentation have them, over the same artifact.
"""

import base64
import concurrent.futures
import http.server
import json
import shutil
import subprocess
import sys
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
import yaml
from conftest import ROOT
from google.protobuf import text_format
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
)
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    add_PredictionServiceServicer_to_server,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from afn_keras.loading import load_model
from afn_keras.prediction.predictor import Predictor

EXAMPLES = ROOT / "examples"
BOX = (10.0, 20.0, 50.0, 70.0)


class GrpcService(PredictionServiceServicer):
    def __init__(self, signatures):
        self.signatures = signatures

    def Predict(self, request, context):  # noqa: N802
        if request.model_spec.name != "afn":
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
        signature = self.signatures[request.model_spec.signature_name]
        answers = signature(
            **{
                name: tf.constant(tf.make_ndarray(value))
                for name, value in request.inputs.items()
            }
        )
        response = PredictResponse()
        for name, value in answers.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


class RestHandler(http.server.BaseHTTPRequestHandler):
    """Serves the row format: takes instances, returns predictions."""

    def do_POST(self):  # noqa: N802
        assert self.path == "/v1/models/afn:predict"
        length = int(self.headers["Content-Length"])
        request = json.loads(self.rfile.read(length))
        rows = request["instances"]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        columns["image_bytes"] = [
            base64.b64decode(value["b64"], validate=True)
            for value in columns["image_bytes"]
        ]
        signature = self.server.signatures[request["signature_name"]]
        answers = signature(
            **{name: tf.constant(value) for name, value in columns.items()}
        )
        plain = {
            name: np.vectorize(bytes.decode, otypes=[object])(value.numpy())
            if value.dtype == tf.string
            else value.numpy()
            for name, value in answers.items()
        }
        predictions = [
            {name: value[index].tolist() for name, value in plain.items()}
            for index in range(len(rows))
        ]
        body = json.dumps({"predictions": predictions}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def signatures(run):
    loaded = tf.saved_model.load(str(run / "exports" / "saved_model" / "1"))
    return loaded.signatures


@pytest.fixture(scope="module")
def grpc_server(signatures):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        add_PredictionServiceServicer_to_server(GrpcService(signatures), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(0).wait()


@pytest.fixture(scope="module")
def rest_server(signatures):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RestHandler)
    server.signatures = signatures
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(script, *arguments):
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("script", ["rest_client.py", "grpc_client.py"])
@pytest.mark.parametrize("box", [None, BOX])
def test_clients(run, rest_server, grpc_server, tmp_path, script, box):
    server = rest_server if script == "rest_client.py" else grpc_server
    sample = run / "samples" / "00.jpg"
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    arguments = [server, sample, bad]
    if box:
        arguments += ["--box", *box]
    done, answers = ask(script, *arguments)
    assert done.returncode == 0, done.stderr
    expected = Predictor(load_model(run)).predict([sample], box and [box])[0]
    points = np.array(list(expected.landmarks.values()))
    assert answers[0]["image"] == str(sample)
    np.testing.assert_allclose(
        answers[0]["landmarks"], points[:, :2], atol=1e-2
    )
    assert answers[0]["category_names"] == [
        name for name, _ in expected.categories
    ]
    assert [answer["valid"] for answer in answers] == [True, False]


@pytest.mark.parametrize(
    ("script", "server"),
    [
        ("rest_client.py", "http://127.0.0.1:9"),
        ("grpc_client.py", "127.0.0.1:9"),
    ],
)
def test_no_server(run, script, server):
    done, _ = ask(script, server, run / "samples" / "00.jpg")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{server}: ")


def test_warm_up_requests_are_answered(run, signatures):
    folder = run / "exports" / "saved_model" / "1" / "assets.extra"
    path = folder / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {
            name: tf.constant(tf.make_ndarray(value))
            for name, value in request.inputs.items()
        }
        asked.append(request.model_spec.signature_name)
        assert signatures[asked[-1]](**inputs)["valid"].numpy().all()
    assert asked == ["serving_default", "boxes"]


def test_the_model_server_can_read_its_configuration(run):
    folder = run / "exports" / "serving"
    config = text_format.Parse(
        (folder / "models.config").read_text(), ModelServerConfig()
    )
    model = config.model_config_list.config[0]
    assert model.name == "afn"
    assert model.model_platform == "tensorflow"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    service = compose["services"]["afn"]
    # The volumes put what the configuration names where it names it.
    places = {}
    for volume in service["volumes"]:
        here, there, mode = volume.split(":")
        assert mode == "ro"
        places[there] = (folder / here).resolve()
    assert (places[model.base_path] / "1" / "saved_model.pb").is_file()
    named = [flag.partition("=")[2] for flag in service["command"]]
    for path in filter(None, named):
        if path.startswith("/config/"):
            assert (places["/config"] / path.removeprefix("/config/")).is_file()


def test_serving_files_are_kept(run, tmp_path):
    from afn_keras.commands import export

    copy = shutil.copytree(run, tmp_path / "copy")
    mine = copy / "exports" / "serving" / "batching.config"
    mine.write_text("max_batch_size { value: 2 }")
    export.main([str(copy), "--formats", "saved_model"])
    assert mine.read_text() == "max_batch_size { value: 2 }"
