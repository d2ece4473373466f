"""Predicts images with TF Serving over REST, with only the standard library.

    docker compose -f runs/demo/exports/serving/compose.yaml up
    python examples/rest_client.py http://localhost:8501 photo.jpg

prints one line of JSON for each image, with landmarks in its pixels.
"""

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request


def predict(
    server: str, images: list[bytes], boxes: list[list[float]] | None
) -> list[dict]:
    """Returns the predictions of the model `afn`, one dict per image.

    Args:
        server: URL of TF Serving, such as http://localhost:8501.
        images: JPEG, PNG or WebP files.
        boxes: x1, y1, x2, y2 of each garment in pixels; the whole images if
            None.
    """
    instances = [
        {"image_bytes": {"b64": base64.b64encode(content).decode()}}
        for content in images
    ]
    signature = "serving_default"
    if boxes is not None:
        signature = "boxes"
        for instance, box in zip(instances, boxes, strict=True):
            instance["boxes"] = box
    request = urllib.request.Request(
        f"{server}/v1/models/afn:predict",
        json.dumps(
            {"signature_name": signature, "instances": instances}
        ).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["predictions"]


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", help="such as http://localhost:8501")
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
    try:
        predictions = predict(options.server, contents, boxes)
    except urllib.error.URLError as error:
        sys.exit(f"{options.server}: {error.reason}")
    for name, prediction in zip(options.images, predictions, strict=True):
        print(json.dumps({"image": name} | prediction))


if __name__ == "__main__":
    main()
