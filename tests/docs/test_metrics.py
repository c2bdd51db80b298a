"""The page of metrics lists every one that processes serve, as they serve it."""

import re
from collections.abc import Iterator

from tests.docs.markdown import Document
from tests.observed import PATIENTLY, Observed, Page

pytestmark = PATIENTLY
ROW = re.compile(r"^\| `(holdfast_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
PAGE = Document("docs/metrics.md")

Served = tuple[str, str, frozenset[str]]


def test_every_metric_is_documented_with_its_type_and_its_labels(observed: Observed) -> None:
    assert set(documented("Of workers")) == set(served(observed.worker))
    assert set(documented("Of the control plane")) == set(served(observed.api))


def documented(heading: str) -> Iterator[Served]:
    """The rows under a heading."""
    section = PAGE.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    for name, kind, labels in ROW.findall(section):
        yield name, kind, frozenset(re.findall(r"`(\w+)`", labels))


def served(page: Page) -> Iterator[Served]:
    """Our own metrics on a page."""
    for name, family in page.families.items():
        if name.startswith("holdfast_"):
            labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
            yield f"{name}_total" if family.type == "counter" else name, family.type, labels
