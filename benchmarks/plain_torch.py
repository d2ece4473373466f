"""The same network in plain PyTorch, for `training_step.py`, which starts it.

Layers have the names they have in `afn_keras/network.py`, so that weights
carry over by name.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import nn
from torch.nn import functional
from training_step import serve

_MEAN_RGB = (123.68, 116.779, 103.939)
_VGG = {1: (2, 64), 2: (2, 128), 3: (3, 256), 4: (3, 512), 5: (3, 512)}


class PlainAFN(nn.Module):
    """The Attentive Fashion Network, channels first."""

    def __init__(
        self,
        *,
        categories: int,
        attributes: int,
        landmarks: int,
        image_size: int,
        width: float,
    ) -> None:
        super().__init__()

        def channels(count: int) -> int:
            return max(1, round(count * width))

        def conv(name: str, before: int, after: int, size: int = 3) -> None:
            self.add_module(
                name, nn.Conv2d(before, after, size, padding="same")
            )

        def upsample(name: str, before: int, after: int) -> None:
            layer = nn.ConvTranspose2d(before, after, 4, 2, padding=1)
            self.add_module(name, layer)

        before = 3
        for block, (convs, count) in _VGG.items():
            for i in range(1, convs + 1):
                conv(f"block{block}_conv{i}", before, channels(count))
                before = channels(count)
        conv("landmark_conv1x1", before, 64, 1)
        before = 64
        for stage, count in enumerate((64, 32, 16), start=1):
            conv(f"landmark{stage}_conv1", before, before)
            conv(f"landmark{stage}_conv2", before, before)
            upsample(f"landmark{stage}_upsample", before, count)
            before = count
        conv("heatmaps", before, landmarks, 1)
        full = channels(512)
        conv("attention_conv1x1", full + 1, channels(32), 1)
        conv("attention_conv1", channels(32), channels(32))
        conv("attention_conv2", channels(32), channels(28))
        upsample("attention_upsample1", channels(28), channels(128))
        upsample("attention", channels(128), full)
        flat = (image_size // 32) ** 2 * full
        for name, count in (
            ("category", categories),
            ("attributes", attributes),
        ):
            self.add_module(f"{name}_hidden", nn.Linear(flat, channels(1024)))
            self.add_module(name, nn.Linear(channels(1024), count))
        mean = torch.tensor(_MEAN_RGB).reshape(3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Heatmaps, category and attributes, float32 under autocast too."""
        x = (image - self.mean).flip(1)
        for block in (1, 2, 3):
            x = functional.max_pool2d(self._block(x, block), 2)
        features = self._block(x, 4)
        x = self._relu(features, "landmark_conv1x1")
        for stage in (1, 2, 3):
            for part in ("conv1", "conv2", "upsample"):
                x = self._relu(x, f"landmark{stage}_{part}")
        heatmaps = self._float32(x, "heatmaps")
        small = functional.interpolate(
            heatmaps, scale_factor=1 / 8, mode="bilinear"
        )
        landmark_map = small.amax(1, keepdim=True).to(features.dtype)
        x = torch.cat([features, landmark_map], 1)
        x = self._relu(x, "attention_conv1x1")
        x = functional.max_pool2d(self._relu(x, "attention_conv1"), 2)
        x = functional.max_pool2d(self._relu(x, "attention_conv2"), 2)
        x = self._relu(x, "attention_upsample1")
        attention = torch.sigmoid(self.attention(x))
        x = functional.max_pool2d((attention + 0.5) * features, 2)
        x = functional.max_pool2d(self._block(x, 5), 2).flatten(1)
        outputs = {"heatmaps": heatmaps}
        for name in ("category", "attributes"):
            hidden = self._relu(x, f"{name}_hidden")
            outputs[name] = self._float32(hidden, name)
        return outputs

    def _block(self, x: Tensor, block: int) -> Tensor:
        for i in range(1, _VGG[block][0] + 1):
            x = self._relu(x, f"block{block}_conv{i}")
        return x

    def _relu(self, x: Tensor, name: str) -> Tensor:
        return functional.relu(self.get_submodule(name)(x))

    def _float32(self, x: Tensor, name: str) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.get_submodule(name)(x.float())

    def load_keras(self, weights: Mapping[str, np.ndarray]) -> None:
        """Takes over weights by their Keras paths, such as `heatmaps/bias`."""
        state = {}
        for path, value in weights.items():
            name, kind = path.split("/")
            if kind == "kernel" and value.ndim == 4:
                # Transposed kernels have outputs before inputs in Keras.
                value = value.transpose(3, 2, 0, 1)
            elif name.endswith("_hidden") and kind == "kernel":
                # Keras flattens rows, columns, channels.
                places = value.shape[0] // self.block5_conv3.out_channels
                value = value.reshape(places, -1, value.shape[1])
                value = value.transpose(2, 1, 0).reshape(value.shape[2], -1)
            elif kind == "kernel":
                value = value.T
            key = "weight" if kind == "kernel" else "bias"
            state[f"{name}.{key}"] = torch.from_numpy(value.copy())
        self.load_state_dict(state)


def total_loss(
    outputs: Mapping[str, Tensor],
    batch: Mapping[str, Tensor],
    recipe: Mapping[str, Any],
) -> Tensor:
    """The three losses of `afn_keras/losses.py`, weighted."""
    heatmaps, landmarks = outputs["heatmaps"], batch["heatmaps"]
    size = heatmaps.shape[-1]
    pixels = torch.arange(size, dtype=torch.float32)
    distance = pixels - (landmarks[..., :2, None] * size - 0.5)
    profile = torch.exp(-0.5 * (distance / (recipe["sigma"] * size / 224)) ** 2)
    target = profile[:, :, 1, :, None] * profile[:, :, 0, None, :]
    error = (target - heatmaps).square().mean((2, 3))
    known = landmarks[..., 2] > 0
    loss = recipe["landmark_weight"] * _mean_of_known(error, known)
    labels = batch["category"].long()
    error = functional.cross_entropy(
        outputs["category"], labels.clamp(min=0), reduction="none"
    )
    loss += recipe["category_weight"] * _mean_of_known(error, labels >= 0)
    labels, logits = batch["attributes"], outputs["attributes"]
    weight = torch.where(labels > 0, 1.0, recipe["negative_weight"])
    weight = weight * (labels >= 0)
    error = functional.binary_cross_entropy_with_logits(
        logits, labels.clamp(min=0), weight, reduction="sum"
    )
    loss += recipe["attribute_weight"] * error / weight.sum().clamp(min=1e-9)
    return loss


def _mean_of_known(error: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, error, 0.0).sum() / known.sum().clamp(min=1)


def main() -> None:
    """Compares outputs with those in the folder, then steps when told to."""
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text())
    recipe = json.loads((folder / "recipe.json").read_text())
    torch.set_num_threads(settings["cores"])
    weights = np.load(folder / "weights.npz")
    wanted = np.load(folder / "outputs.npz")
    batch = {
        k: torch.from_numpy(v) for k, v in np.load(folder / "batch.npz").items()
    }
    batch["image"] = batch["image"].permute(0, 3, 1, 2).contiguous()
    candidates, difference = {}, 0.0
    for name, memory_format in (
        ("channels first", torch.contiguous_format),
        ("channels last", torch.channels_last),
    ):
        model = PlainAFN(
            categories=settings["categories"],
            attributes=settings["attributes"],
            landmarks=settings["landmarks"],
            image_size=settings["image_size"],
            width=settings["width"],
        )
        model.load_keras(weights)
        model.to(memory_format=memory_format)
        given = {
            **batch,
            "image": batch["image"].contiguous(memory_format=memory_format),
        }
        with torch.no_grad(), _precision(settings):
            outputs = model(given["image"])
        outputs["heatmaps"] = outputs["heatmaps"].permute(0, 2, 3, 1)
        for key, value in outputs.items():
            error = np.abs(value.numpy() - wanted[key]).max()
            difference = max(difference, error / np.abs(wanted[key]).max())
        candidates[f"PyTorch, {name}"] = _step(model, given, settings, recipe)
    candidates["product in PyTorch"] = _product(settings)
    serve(candidates, difference=float(difference))


def _step(
    model: PlainAFN,
    batch: dict[str, Tensor],
    settings: dict[str, Any],
    recipe: dict[str, Any],
) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(
        model.parameters(),
        recipe["learning_rate"],
        eps=recipe["epsilon"],
        weight_decay=recipe["weight_decay"],
        fused=True,
    )

    def step() -> float:
        optimizer.zero_grad()
        with _precision(settings):
            outputs = model(batch["image"])
        loss = total_loss(outputs, batch, recipe)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _product(settings: dict[str, Any]) -> Callable[[], float]:
    side = settings["matrix"]
    matrix = torch.randn(side, side).to(getattr(torch, settings["precision"]))
    return lambda: (matrix @ matrix)[0, 0].item()


def _precision(settings: dict[str, Any]) -> contextlib.AbstractContextManager:
    enabled = settings["precision"] == "bfloat16"
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


if __name__ == "__main__":
    main()
