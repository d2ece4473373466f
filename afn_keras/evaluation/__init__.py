"""Evaluation: scores, tables, charts, the report, the model card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["write_evaluation"],
        "html_report": ["write_report_page"],
        "model_card": ["write_model_card"],
        "image_results": ["ImageResults"],
        "scores": ["evaluate"],
        "tables": ["paper_tables"],
    },
)
