"""Runs jobs of Apache Beam, and reads and writes files anywhere."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": [
            "check_url",
            "copy_folder",
            "files_in",
            "first_match",
            "is_url",
            "join",
            "one_line",
            "read_anywhere",
            "read_file",
            "remove_files",
            "resolve",
            "write_json",
            "write_lines",
        ],
        "jobs": ["JobFailedError", "job_options", "run_job"],
    },
)
