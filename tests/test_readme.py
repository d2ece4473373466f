"""What the README says is run, or compared with what is there."""

import os
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_python_snippets_run(records, tmp_path, monkeypatch):
    """As printed, but for the size: the smallest, for one epoch."""
    monkeypatch.chdir(tmp_path)
    os.symlink(records.folder, tmp_path / "records")
    snippets = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert snippets
    for snippet in snippets:
        tiny = snippet.replace("image_size=96", "image_size=32")
        tiny = tiny.replace("epochs=10", "epochs=1, verbose=0, shuffle=False")
        assert tiny.count("image_size=32") == snippet.count("image_size")
        exec(compile(tiny, "README.md", "exec"), {})


def test_commands_exist(capsys):
    from importlib import import_module

    for name in set(re.findall(r"\bafn-([a-z]+)\b", TEXT)) - {"keras"}:
        module = import_module(f"afn_keras.commands.{name}")
        with pytest.raises(SystemExit):
            module.main(["--help"])
        flags = set(re.findall(rf"`afn-{name} [^`]*`", TEXT))
        known = capsys.readouterr().out
        for flag in re.findall(r"--[a-z]+", " ".join(flags)):
            assert flag in known, (name, flag)
