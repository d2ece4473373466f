"""Where the files and images of a COCO data set lie, and in which split."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from pipelines.images import ImageStore
from pipelines.readers.splits import split_named

# What tools call the folder of all images: COCO, mmpose and DeepFashion2,
# FiftyOne.
_FOLDERS = ("images", "img", "image", "data")

# So many names are looked for in a folder before it is taken for the one.
_SAMPLE = 50


def coco_files(folder: Path) -> list[Path]:
    """Returns the JSON files of a data set.

    Args:
        folder: they lie in its `annotations/`, or else in it, or else, as
            Roboflow writes them, in folders that are called as splits.
    """
    splits = [path for path in folder.glob("*/") if split_named(path.name)]
    for places in ([folder / "annotations"], [folder], splits):
        # macOS puts "._train.json" beside what it packs.
        files = [
            path
            for place in sorted(places)
            for path in sorted(place.glob("*.json"))
            if not path.name.startswith(".")
        ]
        if files:
            return files
    return []


def data_folder(paths: Sequence[Path]) -> Path:
    """Returns the folder of a data set, which its images lie in.

    Args:
        paths: of its JSON files.
    """
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return folder.parent if folder.name == "annotations" else folder


def split_of_file(path: Path) -> str | None:
    """Returns the split that a JSON file or else its folder is named for."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    words.append(path.absolute().parent.name)
    return next(filter(None, map(split_named, words)), None)


def image_folder(path: Path, store: ImageStore, names: list[str]) -> str:
    """Finds where the images of a file lie.

    Args:
        path: of the JSON file.
        store: of the data set's folder.
        names: of the images, as the file has them.

    Returns:
        What to put before a name to have its path in the store: the first
        folder that has half of the images, or else the one that has most.
    """
    sample = names[:: len(names) // _SAMPLE + 1]
    most, best = 0, ""
    for place in _places(path, store.folder):
        found = sum(store.has(place + name) for name in sample)
        if 2 * found >= len(sample) > 0:
            return place
        if found > most:
            most, best = found, place
    return best


def _places(path: Path, folder: Path) -> list[str]:
    """Folders that a file's images may be in, the likeliest first."""
    # COCO's own folders are named as its files end: train2017, val2017.
    # CVAT calls a task without a split so.
    own = {re.split(r"[_\-. ]", path.stem.lower())[-1], "default"}
    split = split_of_file(path)

    def fits(name: str) -> bool:
        return name.lower() in own or (split and split_named(name) == split)

    def inside(place: Path) -> list[Path]:
        there = [entry for entry in sorted(place.glob("*/")) if entry.is_dir()]
        return [
            *(entry for entry in there if entry.name.lower() in _FOLDERS),
            *(entry for entry in there if fits(entry.name)),
        ]

    near = inside(folder)
    places = [path.parent, folder, *near]
    places += [deeper for place in near for deeper in inside(place)]
    if split == "val" and path.stem.startswith("instances_attributes"):
        # Fashionpedia packs the images of val and test together.
        places.append(folder / "test")
    found = [place.relative_to(folder).as_posix() for place in places]
    return ["" if place == "." else f"{place}/" for place in found]
