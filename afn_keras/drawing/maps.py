"""Draws a network's attention (Fig. 2) and heatmaps."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from afn_keras.drawing.fonts import chart_settings
from afn_keras.drawing.fonts import drawable
from afn_keras.drawing.predictions import upright_pixels
from afn_keras.prediction import Box
from afn_keras.prediction import Maps

_DPI = 100
_TILE = 2.1
# From dark to bright, in gray too and for any color vision.
_COLORS = "viridis"


def draw_maps(maps: Maps) -> np.ndarray:
    """Draws a garment, the attention over it, and a heatmap per landmark.

    Attention is the mean over the features, as in the paper's Fig. 2. Its
    colors span all values that it can have, and those of heatmaps 0 to 1, so
    that pictures of different images can be compared.

    Args:
        maps: returned by `Predictor.maps`; its `image` must be the path of
            the file.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    names = maps.landmarks if maps.heatmaps is not None else ()
    x1, y1, x2, y2 = maps.box
    columns, rows = 1 + -(-len(names) // 2), 2
    if not names:
        columns, rows = 2, 1
    # Follows the garment's aspect ratio, within limits.
    side = _TILE * float(np.clip((x2 - x1) / (y2 - y1), 0.5, 2.0))
    figure = Figure(
        (side * columns + 1.2, (_TILE + 0.4) * rows),
        dpi=_DPI,
        layout="constrained",
    )
    grid = figure.add_gridspec(rows, columns)
    image = _boxed(maps)
    _show(figure.add_subplot(grid[0, 0]), image, maps.box, "image")
    if maps.attention is not None:
        axes = figure.add_subplot(grid[1, 0] if names else grid[0, 1])
        _draw_attention(figure, axes, maps, image)
    panels = []
    for index, name in enumerate(names):
        row, column = divmod(index, columns - 1)
        axes = figure.add_subplot(grid[row, 1 + column])
        _show(axes, _gray(image), maps.box, name.replace("_", " "))
        heat = np.clip(maps.heatmaps[..., index], 0, 1)
        # Transparent where the heatmap is 0.
        drawn = _over(axes, heat, maps.box, alpha=0.9 * np.sqrt(heat))
        drawn.set_clim(0, 1)
        panels.append(axes)
    if panels:
        scale = ScalarMappable(Normalize(0, 1), _COLORS)
        bar = figure.colorbar(scale, ax=panels, aspect=40, pad=0.01)
        bar.ax.tick_params(labelsize=8)
    return _pixels(figure)


def draw_attention(maps: Maps) -> np.ndarray:
    """Draws only the attention over a garment, as in the paper's Fig. 2.

    The color scale is that of `draw_maps`, the same for every image.

    Args:
        maps: returned by `Predictor.maps`, with attention; its `image`
            must be the path of the file.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    x1, y1, x2, y2 = maps.box
    side = 2 * _TILE * float(np.clip((x2 - x1) / (y2 - y1), 0.5, 2.0))
    figure = Figure((side, 2 * _TILE + 0.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    _draw_attention(figure, axes, maps, _boxed(maps))
    return _pixels(figure)


def _draw_attention(
    figure: Figure, axes: Axes, maps: Maps, image: np.ndarray
) -> None:
    mean = maps.attention.mean(axis=-1)
    # Not stretched to its own contrast, which would hide that a map is nearly
    # flat.
    low, high = _limits(maps.attention)
    title = f"attention {mean.min():.2f} to {mean.max():.2f}"
    _show(axes, _gray(image), maps.box, title)
    drawn = _over(axes, mean, maps.box, alpha=0.6)
    drawn.set_clim(low, high)
    # Below, so that the panel is as wide as the one above it.
    bar = figure.colorbar(
        drawn,
        ax=axes,
        location="bottom",
        shrink=0.9,
        pad=0.02,
        ticks=(low, (low + high) / 2, high),
    )
    bar.ax.tick_params(labelsize=8)
    bar.set_label("same scale for every image", fontsize=8)


def _limits(attention: np.ndarray) -> tuple[float, float]:
    """Returns the lowest and the highest possible value of the attention.

    The paper's ends in a sigmoid, the released code's in tanh. Only the latter
    is negative, which it always is somewhere among hundreds of features.
    """
    return (-1.0, 1.0) if attention.min() < 0 else (0.0, 1.0)


def _gray(image: np.ndarray) -> np.ndarray:
    return np.repeat(image.mean(axis=-1, keepdims=True) / 255, 3, axis=-1)


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _boxed(maps: Maps) -> np.ndarray:
    """Cuts the box out of the image, black where it leaves it."""
    image = upright_pixels(Path(maps.image))
    height, width = image.shape[:2]
    x1, y1 = np.floor(maps.box[:2]).astype(int)
    x2, y2 = np.ceil(maps.box[2:]).astype(int)
    edges = (
        (-min(y1, 0), max(y2 - height, 0)),
        (-min(x1, 0), max(x2 - width, 0)),
    )
    inside = image[max(y1, 0) : y2, max(x1, 0) : x2]
    return np.pad(inside, (*edges, (0, 0)))


def _show(axes: Axes, image: np.ndarray, box: Box, title: str) -> None:
    # Pixels that a box touches are shown whole.
    x1, y1, x2, y2 = (*np.floor(box[:2]), *np.ceil(box[2:]))
    axes.imshow(image, extent=(x1, x2, y2, y1), interpolation="bilinear")
    title = drawable(title)
    axes.set_title(
        title,
        fontsize=10,
        fontfamily=chart_settings(title)["font.family"],
        parse_math=False,
    )
    axes.axis("off")


def _over(
    axes: Axes, values: np.ndarray, box: Box, alpha: float | np.ndarray
) -> AxesImage:
    x1, y1, x2, y2 = box
    return axes.imshow(
        values,
        cmap=_COLORS,
        alpha=alpha,
        extent=(x1, x2, y2, y1),
        interpolation="bilinear",
    )
