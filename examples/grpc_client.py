"""Predicts images with TF Serving over gRPC.

    docker compose -f runs/demo/exports/serving/compose.yaml up
    python examples/grpc_client.py localhost:8500 photo.jpg

prints one line of JSON for each image, with landmarks in its pixels.
Needs `tensorflow-serving-api`, which is installed with afn-keras.
"""

import argparse
import json
import sys

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceStub,
)


def predict(
    channel: grpc.Channel,
    images: list[bytes],
    boxes: list[list[float]] | None,
) -> dict[str, np.ndarray]:
    """Returns the outputs of the model `afn`, each with the batch first.

    Args:
        channel: a channel to TF Serving.
        images: JPEG, PNG or WebP files.
        boxes: x1, y1, x2, y2 of each garment in pixels; the whole images if
            None.
    """
    request = PredictRequest()
    request.model_spec.name = "afn"
    request.model_spec.signature_name = "serving_default"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images))
    if boxes is not None:
        request.model_spec.signature_name = "boxes"
        request.inputs["boxes"].CopyFrom(
            tf.make_tensor_proto(boxes, tf.float32)
        )
    response = PredictionServiceStub(channel).Predict(request, timeout=60)
    return {
        name: tf.make_ndarray(value) for name, value in response.outputs.items()
    }


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", help="such as localhost:8500")
    parser.add_argument("images", nargs="+", metavar="PHOTO")
    parser.add_argument(
        "--box", nargs=4, type=float, metavar=("X1", "Y1", "X2", "Y2")
    )
    options = parser.parse_args()
    contents = []
    for name in options.images:
        with open(name, "rb") as file:
            contents.append(file.read())
    boxes = options.box and [options.box] * len(contents)
    # gRPC's default limit is 4 MB per message.
    unlimited = [
        (f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")
    ]
    try:
        with grpc.insecure_channel(options.server, unlimited) as channel:
            outputs = predict(channel, contents, boxes)
    except grpc.RpcError as error:
        sys.exit(f"{options.server}: {error.details()}")
    for index, name in enumerate(options.images):
        row = {key: to_json(value[index]) for key, value in outputs.items()}
        print(json.dumps({"image": name} | row))


def to_json(value: np.ndarray) -> list | bool:
    """Converts a row of an output to JSON types."""
    if value.dtype == object:
        return [name.decode() for name in value]
    return value.tolist()


if __name__ == "__main__":
    main()
