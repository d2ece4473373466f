"""How fast pictures are drawn, and what takes the time.

`python benchmarks/drawing.py` takes about 10 seconds.
"""

import argparse
import cProfile
import pstats
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from pipelines.synthetic.categories import CATEGORIES
from pipelines.synthetic.scenes import draw_picture

_NAMES = tuple(CATEGORIES)

# Functions that follow one another and do not contain one another.
_STAGES = {
    "_background": "background",
    "draw_body": "body",
    "draw_garment": "garment",
    "draw_front": "hair and bags",
    "_photograph": "exposure and grain",
    "<imencode>": "JPEG",
}


def main() -> None:
    """Prints images a second by threads, then the share of each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    images = parser.parse_args().images
    _draw(0)
    print("threads  images/s  ratio")
    single = None
    for threads in (1, 2):
        start = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(_draw, range(images)))
        rate = images / (time.perf_counter() - start)
        single = single or rate
        print(f"{threads:7}  {rate:8.0f}  {rate / single:5.2f}")
    print("\nstage               share")
    for stage, share in _shares(images).items():
        print(f"{stage:18}  {share:5.0%}")


def _draw(index: int) -> None:
    name = _NAMES[index % len(_NAMES)]
    picture = draw_picture(np.random.default_rng([0, index]), name)
    cv2.imencode(".jpg", picture.image, (cv2.IMWRITE_JPEG_QUALITY, 90))


def _shares(images: int) -> dict[str, float]:
    """Share of the time by stage, in one thread under the profiler."""
    profile = cProfile.Profile()
    profile.enable()
    for index in range(images):
        _draw(index)
    profile.disable()
    stats = pstats.Stats(profile)
    shares = dict.fromkeys((*_STAGES.values(), "other"), 0.0)
    for (_, _, function), (*_, seconds, _) in stats.stats.items():
        function = "<imencode>" if "imencode" in function else function
        if function in _STAGES:
            shares[_STAGES[function]] += seconds / stats.total_tt
    shares["other"] = 1 - sum(shares.values())
    return shares


if __name__ == "__main__":
    main()
