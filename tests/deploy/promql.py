"""What PromQL expressions ask for: series, and labels of them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import promql_parser

#: What Prometheus itself adds to each series when it scrapes.
TARGET = frozenset({"job", "instance", "namespace", "pod"})
#: Grafana's own variables, with what stands for them here.
VARIABLES = {"$__rate_interval": "5m", "$pool": ".*", "$runtime": ".*"}

#: Of each series its labels, with the values that they may have.
Labels = Mapping[str, Mapping[str, AbstractSet[str]]]


def parsed(expression: str) -> Any:
    """The expression as a tree.

    Raises:
        ValueError: it is no PromQL.
    """
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return promql_parser.parse(expression)


def misfits(expression: str, labels: Labels) -> list[str]:
    """What an expression asks for that no process serves, by name, label or value: a sentence each."""
    tree = parsed(expression)
    return [*_unknown_series(tree, labels), *_unknown_labels(tree, labels)]


def series(tree: Any) -> Iterator[Any]:
    """The selectors in a tree."""
    return (node for node in nodes(tree) if isinstance(node, promql_parser.VectorSelector))


def nodes(tree: Any) -> list[Any]:
    """Everything in a tree."""
    found: list[Any] = []
    promql_parser.walk(tree, found.append)
    return found


def _unknown_series(tree: Any, labels: Labels) -> Iterator[str]:
    for selector in series(tree):
        name = selector.name
        if name not in labels:
            yield f"there is no metric {name}"
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name not in labels[name].keys() | TARGET:
                yield f"{name} has no label {matcher.name}"
            elif matcher.name not in TARGET and not _fits(matcher, labels[name][matcher.name]):
                yield f"{name} has no {matcher.name} that is {matcher.value}"


def _fits(matcher: Any, values: Iterable[str]) -> bool:
    """Whether there is a value that the matcher names, to take it or to leave it out."""
    if matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe):
        return any(re.fullmatch(matcher.value, value) for value in values)
    return matcher.value in values


def _unknown_labels(tree: Any, labels: Labels) -> Iterator[str]:
    """Labels by which something is summed or matched have to be labels of all that is summed or matched."""
    for node in nodes(tree):
        for label in _grouped(node):
            for selector in series(node):
                if label not in _labels(selector, labels):
                    yield f"{selector.name} is grouped by {label}, which it has not"


def _labels(selector: Any, labels: Labels) -> frozenset[str]:
    """Those of a selector's series."""
    return frozenset(labels.get(selector.name or "", ())) | TARGET


def _grouped(node: Any) -> list[str]:
    """The labels of `by` and of `on`."""
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
        return list(node.modifier.labels)
    if isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
        return list(node.modifier.matching.labels)
    return []


def placeholders(text: str) -> set[str]:
    """The labels that a legend or an annotation shows."""
    return set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text)) | set(re.findall(r"\$labels\.(\w+)", text))


def kept(tree: Any, labels: Labels) -> frozenset[str]:
    """The labels that an expression's result may have."""
    if isinstance(tree, promql_parser.AggregateExpr):
        return frozenset(tree.modifier.labels) if tree.modifier else frozenset()
    if isinstance(tree, promql_parser.VectorSelector):
        return _labels(tree, labels)
    return frozenset[str]().union(*(kept(child, labels) for child in _children(tree)))


def _children(tree: Any) -> Iterator[Any]:
    named = (getattr(tree, name, None) for name in ("lhs", "rhs", "expr", "vector_selector"))
    yield from (child for child in named if child is not None)
    yield from getattr(tree, "args", ())
