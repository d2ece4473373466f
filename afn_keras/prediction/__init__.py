"""Prediction: landmarks, category and attributes of images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cropping": ["Box", "crop"],
        "formats": ["FORMATS"],
        "image_lists": [
            "ListEntry",
            "TEXT",
            "is_list",
            "parse_line",
            "to_line",
        ],
        "inputs": [
            "ImageInput",
            "first_images",
            "is_image_name",
            "list_images",
            "read_table",
        ],
        "predictor": ["Maps", "Predictor"],
        "result": ["PRESENT", "Prediction"],
        "writer": ["check_results", "write_results"],
    },
)
