"""Everything people read is plain technical English and uses the field's standard terms.

Documents, scripts and configuration files are checked as a whole; Python files by their comments, docstrings, string
literals and names of tests. A failure names the file and the line, what was found and what to write instead.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What to avoid and what to write instead. A space stands for any white space, a line break included.
ADVICE = {
    r"pictures?": "image",
    r"films?": "video",
    r"sounds?": "audio",
    r"places?": "location; for data, where it is stored",
    r"(make|makes|made|making) (?!ps )([\w-]+ ){0,2}bots?": "create a bot",
    r"wanted": "desired or requested",
    r"moments": "timestamps or points in time",
    r"in the (very )?moment": "while or when",
    r"in vain": "failed, without success",
    r"mend(s|ed|ing)?": "fix or repair",
    r"(give|gives|given|gave|giving) up": "time out after, stop retrying or fail",
    r"anew": "again",
    r"(is|are|was|were|be) told": "receives, or is reported or notified",
    r"(is|are|was|were) away": "is unavailable",
    r"what became of": "the state or outcome of",
    r"under way": "in progress",
    r"be had": "available or unavailable",
    r"is no JSON": "is not valid JSON",
    r"blanks": "spaces",
    r"left[- ]out": "skipped or omitted; a poison message",
    r"(stand|stands|standing|stood) back": "step down",
    r"acting": "leader, or active",
    r"(go|goes|going|went) on": "continue",
    r"(tell|tells|telling|told) of": "report",
    r"the seeds'?": "nothing: the product refers to no private documents",
}
PATTERNS = {
    re.compile(rf"\b{words.replace(' ', chr(92) + 's+')}\b", re.IGNORECASE): advice for words, advice in ADVICE.items()
}

# Phrases that contain one of these words and are right.
ALLOWED = re.compile(
    r"profile pictures?"  # WhatsApp's own term
    r"|in\s+(?:the\s+first\s+)?place|(?:take|takes|taking|took|taken)\s+(?:its\s+|the\s+)?place",
    re.IGNORECASE,
)
# Whole string literals that are names of WhatsApp's protocol or of a library, by file.
PROTOCOL_NAMES: dict[str, set[str]] = {
    "tests/simulator/whatsapp_simulator/phones/channels.py": {"picture"},
    "tests/simulator/whatsapp_simulator/stanzas/profile.py": {"picture", "w:profile:picture"},
    "tests/simulator/whatsapp_simulator/stanzas/usync.py": {"picture"},
}

ENDINGS = {".py", ".md", ".toml", ".yaml", ".yml", ".hcl", ".sh", ".sql", ".svg"}
NAMES = {"Makefile", "Dockerfile", "run"}
HIDDEN = {".github", ".ci", ".pre-commit-config.yaml"}
SKIPPED = {"__pycache__", "requirements"}


def findings(text: str) -> Iterator[tuple[int, str, str]]:
    """The line, the words and the advice for each phrase to avoid in the text, lines counted from 0."""
    text = ALLOWED.sub(lambda match: re.sub(r"\w", "_", match[0]), text)
    for pattern, advice in PATTERNS.items():
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start()), " ".join(match[0].split()), advice


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Each string literal, name of a test and run of comment lines of a Python file, with its first line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")
    first, comments, last = 0, "", -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if line != last + 1:
            yield first, comments
            first, comments = line, ""
        comments += token.string.lstrip("# ") + "\n"
        last = line
    yield first, comments


def complaints(path: Path) -> list[str]:
    name = str(path.relative_to(ROOT))
    text = path.read_text()
    if path.name == "CHANGELOG.md":
        text = re.sub(r"`[^`\n]*`", "``", text)  # it names what was renamed
    parts = python_texts(text) if path.suffix == ".py" else [(1, text)]
    protocol = PROTOCOL_NAMES.get(name, set())
    return [
        f"{name}:{first + line}: {words!r}: write {advice}"
        for first, part in parts
        if part not in protocol
        for line, words, advice in findings(part)
    ]


def files(folder: Path) -> Iterator[Path]:
    """The files below a folder that people wrote."""
    for path in sorted(folder.iterdir()):
        if path.name in SKIPPED or (path.name.startswith(".") and path.name not in HIDDEN):
            continue
        if path.is_dir():
            yield from files(path)
        elif path.suffix in ENDINGS or path.name in NAMES:
            yield path


def checked() -> list[Path]:
    """Every file of the repository that has to be right; this one lists the words itself."""
    return [path for path in files(ROOT) if path != Path(__file__)]


def test_the_text_is_plain_english() -> None:
    found = [complaint for path in checked() for complaint in complaints(path)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Send pictures.", "pictures"),
        ("Making three bots takes a minute.", "Making three bots"),
        ("it tries\nin vain", "in vain"),
        ("GOES ON", "GOES ON"),
        ("the body is no JSON", "is no JSON"),
    ],
)
def test_a_phrase_to_avoid_is_found(text: str, words: str) -> None:
    assert [found for _, found, _ in findings(text)] == [words]


@pytest.mark.parametrize(
    "text", ["its profile picture", "in place of it", "takes place", "placeholder", "an impact on the goal", "unwanted"]
)
def test_other_words_are_left_alone(text: str) -> None:
    assert not list(findings(text))


def test_a_finding_names_the_line_of_a_comment_a_docstring_a_literal_and_a_test() -> None:
    source = (
        '"""One.\n\nTwo films."""\n\n# It goes\n# on here.\nx = f"{film} sounds"\ndef test_a_film_ends(film): ...\n'
    )
    found = {(first + line, words) for first, text in python_texts(source) for line, words, _ in findings(text)}
    assert found == {(3, "films"), (5, "goes on"), (7, "sounds"), (8, "film")}
