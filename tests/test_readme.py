"""Runs the README's snippets in order, or compares them with the files."""

import os
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT
from conftest import TINY
from conftest import write_image

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

# Snippets that are run elsewhere, and by what.
ELSEWHERE = {
    # The install by `.ci/run`, the command by tests/test_demo.py.
    "pip install . && afn-train",
    # By tests/test_demo_page.py, through a browser.
    "pip install '.[demo]' && afn-demo runs/small",
    # Against a server that speaks its protocol, by tests/test_serving.py.
    "python examples/rest_client.py http://localhost:8501 photo.jpg",
    "python examples/grpc_client.py localhost:8500 photo.jpg "
    "--box 10 20 210 300",
    # TF Serving itself is nowhere to be had in tests; its files are parsed.
    "docker compose -f runs/small/exports/serving/compose.yaml up",
}


@pytest.mark.keras3
@pytest.mark.timeout(1200)
def test_snippets_run(hand_written, records, tmp_path, monkeypatch, capsys):
    """As printed, one after the other, but for the size: the smallest."""
    monkeypatch.chdir(tmp_path)
    os.symlink(hand_written, "DeepFashion")
    os.symlink(records.folder, "records")
    write_image(tmp_path / "photo.jpg")
    (tmp_path / "images").mkdir()
    shutil.copy("photo.jpg", "images/one.jpg")
    run = []
    for language, snippet in re.findall(
        r"```(shell|python)\n(.*?)```", TEXT, re.DOTALL
    ):
        if language == "shell":
            commands = snippet.splitlines()
            for command in commands:
                if command not in ELSEWHERE:
                    _command(command)
        else:
            _python(snippet)
        run.append(language)
    assert run.count("python") == 2
    (snippet,) = re.findall(
        r"```python\n(.*?)```",
        (ROOT / "docs" / "exports.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    _python(snippet)
    assert Path("report/report.html").is_file()
    assert len(list(Path("pictures").glob("photo*.png"))) == 2
    assert "one.jpg" in Path("found.csv").read_text()
    assert Path("runs/small/exports/tflite/afn_int8.tflite").is_file()
    capsys.readouterr()


def _command(command):
    name, *arguments = shlex.split(command)
    assert name.startswith("afn-"), command
    if name == "afn-train":
        arguments += ["--set", *TINY]
    module = name.removeprefix("afn-")
    import_module(f"afn_keras.commands.{module}").main(arguments)


def _python(snippet):
    tiny = snippet.replace("image_size=96", "image_size=32")
    tiny = tiny.replace("epochs=10", "epochs=1, verbose=0, shuffle=False")
    exec(compile(tiny, "README.md", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_flags_exist(page, capsys):
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"\bafn-([a-z]+)\b", text)) - {"keras"}:
        module = import_module(f"afn_keras.commands.{name}")
        with pytest.raises(SystemExit):
            module.main(["--help"])
        known = capsys.readouterr().out
        used = re.findall(rf"\bafn-{name} ([^`\n|]*)", text)
        # What follows the name of a runner are flags of its own.
        used = [re.sub(r"(?<=--runner) .*", "", flags) for flags in used]
        for flag in re.findall(r"--[a-z]+", " ".join(used)):
            assert flag in known, (name, flag)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
