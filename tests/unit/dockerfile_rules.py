"""Read a Dockerfile, and tell what one of ours would never do. Pure, but for `copied_files`."""

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SECRET = re.compile(r"(?i)token|secret|passw|credential|api_?key|private_?key")
_SHELLS = {"sh", "bash", "/bin/sh", "/bin/bash"}


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile."""

    name: str
    """Its word, in capitals."""
    text: str
    """What follows it, continued lines joined."""

    @property
    def words(self) -> list[str]:
        """The words of its exec form, or of its text; flags such as ``--from`` left out."""
        if self.is_exec:
            words: list[str] = json.loads(self.text)
            return words
        return [each for each in shlex.split(self.text) if not each.startswith("--")]

    @property
    def is_exec(self) -> bool:
        """Whether it is a JSON list: run as it is, without a shell."""
        return self.text.startswith("[")


def parse_dockerfile(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile, in its order, without comments."""
    lines = [each for each in text.splitlines() if not each.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = (each.strip().partition(" ") for each in joined.splitlines() if each.strip())
    return [Instruction(name.upper(), rest.strip()) for name, _, rest in found]


def last_stage(instructions: list[Instruction]) -> list[Instruction]:
    """Return what comes after the last FROM, and it itself: the image that ships."""
    starts = [index for index, each in enumerate(instructions) if each.name == "FROM"]
    return instructions[starts[-1] :]


def smoke_command(instructions: list[Instruction]) -> list[str]:
    """Return the words of the last RUN."""
    return [each for each in instructions if each.name == "RUN"][-1].words


def find_problems(text: str) -> list[str]:
    """Return what a Dockerfile does that ours never do, one line each."""
    instructions = parse_dockerfile(text)
    return [*_bases(instructions), *_secrets(instructions), *_end(last_stage(instructions))]


def copied_files(instructions: list[Instruction], context: Path) -> dict[str, Path]:
    """Return the files that COPY brings from a context, by their path below WORKDIR.

    ``.dockerignore`` is honoured: the last pattern that matches a path decides.
    """
    ignored = _ignore_rules(context / ".dockerignore")
    found: dict[str, Path] = {}
    for each in last_stage(instructions):
        if each.name != "COPY" or "--from" in each.text:
            continue
        *sources, target = each.words
        for source in sources:
            root = context / source
            for path in [root] if root.is_file() else sorted(root.rglob("*")):
                relative = path.relative_to(context).as_posix()
                if path.is_file() and not _is_ignored(relative, ignored):
                    below = path.relative_to(root).as_posix() if root.is_dir() else path.name
                    found[f"{target.removeprefix('./').rstrip('/')}/{below}".lstrip("/")] = path
    return found


def _bases(instructions: list[Instruction]) -> Iterator[str]:
    stages: set[str] = set()
    for each in instructions:
        if each.name != "FROM":
            continue
        image, *rest = each.words
        tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
        if image not in stages and (tag in {"", "latest"} or "$" in image):
            yield f"FROM: expected a base with a tag of its own, got {image!r}"
        if rest[:1] in (["AS"], ["as"]):
            stages.add(rest[1])


def _secrets(instructions: list[Instruction]) -> Iterator[str]:
    for each in instructions:
        if each.name in {"ARG", "ENV", "LABEL"} and _SECRET.search(each.text):
            yield f"{each.name}: expected no secret in a layer, got {each.text!r}"
        if each.name == "ADD":
            yield f"ADD: expected COPY, got {each.text!r}"
        if each.name == "COPY" and set(each.words[:-1]) & {".", "./", "/"}:
            yield "COPY: expected named files and folders, got the whole context"


def _end(stage: list[Instruction]) -> Iterator[str]:
    users = [each.text.partition(":")[0] for each in stage if each.name == "USER"]
    if not users or not users[-1].isdecimal() or int(users[-1]) == 0:
        yield f"USER: expected the number of somebody who is not root, got {users[-1:] or 'none'}"
    entry = [each for each in stage if each.name == "ENTRYPOINT"]
    if not entry or not entry[-1].is_exec or entry[-1].words[0] in _SHELLS:
        yield "ENTRYPOINT: expected the exec form, without a shell"
        return
    last = stage[-1]
    if last.name != "RUN" or not last.is_exec or last.words[:-1] != entry[-1].words:
        yield f"RUN: expected the entry point and --help as the last line, got {last}"
    names = [each.name for each in stage]
    if "USER" in names and names.index("USER") > len(names) - 2:
        yield "USER: expected it before the smoke run"


def _ignore_rules(path: Path) -> list[tuple[bool, str]]:
    if not path.is_file():
        return []
    lines = (each.strip() for each in path.read_text(encoding="utf-8").splitlines())
    kept = (each for each in lines if each and not each.startswith("#"))
    return [(not each.startswith("!"), each.removeprefix("!").strip("/")) for each in kept]


def _is_ignored(relative: str, rules: list[tuple[bool, str]]) -> bool:
    """Say whether the last rule that names a path, or a folder above it, leaves it out."""
    parts = relative.split("/")
    above = ["/".join(parts[: size + 1]) for size in range(len(parts))]
    verdict = False
    for leaves_out, pattern in rules:
        anywhere = pattern.removeprefix("**/") if pattern.startswith("**/") else None
        names = parts if anywhere else above
        if any(fnmatch.fnmatchcase(name, anywhere or pattern) for name in names):
            verdict = leaves_out
    return verdict
