"""Training: fit, optimizers, checkpoints, devices, processes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "addons": ["check_addons"],
        "cluster": [
            "Cluster",
            "Devices",
            "find_cluster",
            "parse_devices",
        ],
        "fit": ["train"],
        "jax_process": ["train_on_jax"],
        "trackers": ["check_tracker"],
    },
)
