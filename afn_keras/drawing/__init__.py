"""Drawing: predictions on images, maps, sheets of samples."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "fonts": ["chart_settings", "drawable"],
        "maps": ["draw_attention", "draw_maps"],
        "marks": ["color", "draw_point"],
        "predictions": [
            "draw_landmarks",
            "save_picture",
            "save_prediction",
            "upright_pixels",
        ],
        "sheets": [
            "UNSURE",
            "draw_sheet",
            "prediction_sheet",
            "save_sheet",
            "split_sheet",
        ],
        "tiles": ["image_tiles"],
    },
)
