"""Reads files as upright images, and resamples images to network input."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": [
            "MAX_PIXELS",
            "ImageFile",
            "SUFFIXES",
            "inspect_image",
            "read_image",
        ],
        "jpeg": [
            "EXACT",
            "decode_jpeg_part",
            "decode_whole",
            "is_plain",
            "turn_upright",
        ],
        "resampling": ["resample", "crop_window", "decode_window", "show"],
        "resampling_numpy": ["resample_array"],
        "store": ["ImageStore", "spellings"],
    },
)
