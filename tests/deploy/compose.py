"""Compose files as Compose reads them: variables put in, then YAML."""

import re

import yaml

from tests.live.service import ROOT


class Missing(Exception):
    """A variable that a file demands, with what it says of it."""


def interpolate(text, variables):
    """Puts variables in: `${NAME}`, `${NAME:-default}` and `${NAME:?message}`, with defaults that hold variables again."""
    out, at = [], 0
    while at < len(text):
        if text.startswith("$$", at):
            out.append("$")
            at += 2
        elif text.startswith("${", at):
            end = closing(text, at)
            out.append(value_of(text[at + 2 : end], variables))
            at = end + 1
        else:
            assert text[at] != "$", f"a variable without braces at {text[at : at + 20]!r}"
            out.append(text[at])
            at += 1
    return "".join(out)


def closing(text, start):
    """Where the braces end that begin here."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0 and text[at] == "}":
            return at
    raise AssertionError(f"{text[start:]!r} does not end")


def value_of(inside, variables):
    name, operator, rest = re.fullmatch(r"([A-Z_]+)(:-|:\?)?(.*)", inside, re.DOTALL).groups()
    if variables.get(name):
        return variables[name]
    if operator == ":?":
        raise Missing(f"{name}: {rest}")
    return interpolate(rest, variables) if operator == ":-" else ""


def walk(node, variables):
    """The same tree with variables put into its texts: comments have some too, and they are none."""
    if isinstance(node, dict):
        return {key: walk(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [walk(value, variables) for value in node]
    return interpolate(node, variables) if isinstance(node, str) else node


def read(file, **variables):
    """A compose file with these variables, and no others."""
    return walk(yaml.safe_load((ROOT / file).read_text()), variables)


def seconds(duration):
    """A duration such as 1m30s."""
    parts = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration).groups()
    return int(parts[0] or 0) * 60 + int(parts[1] or 0)
