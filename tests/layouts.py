"""One drawn data set, written out in every layout that can be read."""

import csv
import json

from conftest import write_image

ATTRIBUTES = {
    "chiffon": 5,
    "crew_neckline": 4,
    "denim": 5,
    "floral": 1,
    "long_sleeve": 2,
    "loose": 6,
    "maxi_length": 3,
    "mini_length": 3,
    "sleeveless": 2,
    "solid": 1,
    "tight": 6,
    "v_neckline": 4,
}
CATEGORIES = {"Cape": 3, "Jeans": 2, "Long Dress": 3, "Tee": 1}
LANDMARKS = [
    f"{side}_{part}"
    for part in ("collar", "sleeve", "waistline", "hem")
    for side in ("left", "right")
]
PLACES = {1: [0, 1, 2, 3, 6, 7], 2: [4, 5, 6, 7], 3: list(range(8))}


def garments(folder):
    """Nine garments: 0-based half-open boxes, 0-based landmarks.

    The second landmark of every garment that has it is absent, and no garment
    is a cape.
    """
    by_group = {}
    for name, group in ATTRIBUTES.items():
        by_group.setdefault(group, []).append(name)
    result = []
    for i in range(9):
        image = f"img/drawn/{i}.jpg"
        write_image(folder / image, color=(25 * i, 90, 250 - 25 * i))
        category = ["Tee", "Jeans", "Long Dress"][i % 3]
        places = PLACES[CATEGORIES[category]]
        result.append(
            {
                "image": image,
                "split": "train" if i < 5 else "val" if i < 7 else "test",
                "category": category,
                "box": (5 + i, 10, 45 + i, 70 - i),
                "landmarks": {
                    place: (10 + 2 * i + place, 20 + 3 * place)
                    for place in places
                    if place != places[1]
                },
                "attributes": {
                    group: names[(i + group) % len(names)]
                    for group, names in sorted(by_group.items())
                },
            }
        )
    return result


def table(path, rows):
    """A file of a count, a header and rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([str(len(rows)), "header", *rows, ""]))


def write_names(folder):
    for kind, names in (("category", CATEGORIES), ("attr", ATTRIBUTES)):
        table(
            folder / f"list_{kind}_cloth.txt",
            [f"{name:<20} {number} " for name, number in names.items()],
        )


def one_based(garment):
    x1, y1, x2, y2 = garment["box"]
    return f"{x1 + 1:03d} {y1 + 1:03d} {x2:03d} {y2:03d}"


def write_coarse(folder):
    rows = garments(folder)
    write_names(folder / "Anno_coarse")

    def listed(path, value):
        table(folder / path, [f"{r['image']}   {value(r)}" for r in rows])

    def landmarks(row):
        kind = CATEGORIES[row["category"]]
        return f"{kind} " + " ".join(
            "0 {:03d} {:03d}".format(
                *(value + 1 for value in row["landmarks"][place])
            )
            if place in row["landmarks"]
            else "2 000 000"
            for place in PLACES[kind]
        )

    listed("Eval/list_eval_partition.txt", lambda r: r["split"])
    listed("Anno_coarse/list_bbox.txt", one_based)
    listed("Anno_coarse/list_landmarks.txt", landmarks)
    listed(
        "Anno_coarse/list_category_img.txt",
        lambda r: list(CATEGORIES).index(r["category"]) + 1,
    )
    listed(
        "Anno_coarse/list_attr_img.txt",
        lambda r: "  ".join(
            "1" if name in r["attributes"].values() else "-1"
            for name in ATTRIBUTES
        ),
    )
    return folder


def write_fine(folder, first_place=None):
    """With a `first_place`, attributes are six places in groups."""
    rows = garments(folder)
    anno = folder / "Anno_fine"
    write_names(anno)

    def landmarks(row):
        numbers = []
        for place in PLACES[CATEGORIES[row["category"]]]:
            point = row["landmarks"].get(place, (-1, -1))
            numbers += [value + 1 for value in point]
        return " ".join(map(str, numbers + [0] * (16 - len(numbers))))

    def attributes(row):
        if first_place is None:
            present = row["attributes"].values()
            return " ".join(str(int(name in present)) for name in ATTRIBUTES)
        return " ".join(
            str(
                [n for n, g in ATTRIBUTES.items() if g == group].index(name)
                + first_place
            )
            for group, name in row["attributes"].items()
        )

    for split in ("train", "val", "test"):
        for name, value in (
            ("", lambda r: r["image"]),
            (
                "_cate",
                lambda r: str(list(CATEGORIES).index(r["category"]) + 1),
            ),
            ("_bbox", one_based),
            ("_attr", attributes),
            ("_landmarks", landmarks),
        ):
            (anno / f"{split}{name}.txt").write_text(
                "".join(f"{value(r)} \n" for r in rows if r["split"] == split)
            )
    return folder


def write_csv(folder):
    rows = garments(folder)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["image", "split", "category", "attributes"]
            + ["x1", "y1", "x2", "y2"]
            + [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
        )
        for row in rows:
            points = [row["landmarks"].get(i, ("", "")) for i in range(8)]
            writer.writerow(
                [row["image"], row["split"], row["category"]]
                + ["|".join(row["attributes"].values())]
                + [*row["box"], *(value for point in points for value in point)]
            )
    return folder


def write_coco(folder):
    rows = garments(folder)
    (folder / "annotations").mkdir()
    for split in ("train", "val", "test"):
        chosen = [row for row in rows if row["split"] == split]
        annotations = []
        for number, row in enumerate(chosen):
            places = PLACES[CATEGORIES[row["category"]]]
            x1, y1, x2, y2 = row["box"]
            annotations.append(
                {
                    "id": number,
                    "image_id": 100 + number,
                    "category_id": 7 + list(CATEGORIES).index(row["category"]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "keypoints": [
                        value
                        for place in places
                        for value in (
                            [*row["landmarks"][place], 2]
                            if place in row["landmarks"]
                            else [0, 0, 0]
                        )
                    ],
                    "attribute_ids": [
                        3 * list(ATTRIBUTES).index(name)
                        for name in row["attributes"].values()
                    ],
                }
            )
        content = {
            "images": [
                {"id": 100 + number, "file_name": row["image"]}
                for number, row in enumerate(chosen)
            ],
            "annotations": annotations,
            "categories": [
                {
                    "id": 7 + number,
                    "name": name,
                    "keypoints": [
                        LANDMARKS[place].replace("_", " ").title()
                        for place in PLACES[kind]
                    ],
                }
                for number, (name, kind) in enumerate(CATEGORIES.items())
            ],
            "attributes": [
                {"id": 3 * number, "name": name, "supercategory": "any"}
                for number, name in enumerate(ATTRIBUTES)
            ],
        }
        path = folder / "annotations" / f"keypoints_{split}2017.json"
        path.write_text(json.dumps(content))
    return folder
