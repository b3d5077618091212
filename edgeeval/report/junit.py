"""Write the gate's cases as JUnit XML: a suite a level, a case for each thing that is asked of it.

A test tab is green where nothing failed, so an outcome that is not a pass must not look like one:
inconclusive and not measured are skipped with their reason, a lost level is an error. Where a gate
decided, a level that it did not ask about is skipped too, unless it passes: this file and the exit
code say the same.

There is no standard; what is written is common to the schemas of Jenkins, GitLab and the GitHub
actions that read it: testsuites > testsuite > testcase, counts on both upper elements.
"""

from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

from edgeeval.errors import one_line
from edgeeval.records import GateCase, Results, requirement_cases
from edgeeval.report.view import case_title

_COUNTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def write(results: Results) -> str:
    """Return the document."""
    root = ElementTree.Element("testsuites", name=_clean(results.name))
    for suite in (_suite(results, name, cases) for name, cases in _by_level(results).items()):
        root.append(suite)
    for count in ("tests", *_COUNTS):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    root.set("time", f"{results.timings.elapsed_s:.1f}")
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _clean(text: str) -> str:
    """Return foreign text as one line without the characters that XML has no way to write."""
    return one_line(text)


def _by_level(results: Results) -> dict[str, list[GateCase]]:
    if results.gate is None:
        return {level.name: list(requirement_cases(level)) for level in results.levels}
    found: dict[str, list[GateCase]] = {level.name: [] for level in results.levels}
    for case in results.gate.cases:
        found.setdefault(case.level, []).append(case)
    return found


def _suite(results: Results, level: str, cases: list[GateCase]) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=_clean(level))
    facts = ElementTree.SubElement(suite, "properties")
    for name, value in _facts(results):
        ElementTree.SubElement(facts, "property", name=name, value=_clean(value))
    class_name = _clean(f"{results.name}.{level}")
    for case, title in zip(cases, _titles(cases), strict=True):
        suite.append(_case(results, case, title, class_name))
    outcomes = Counter(child.tag for case in suite.iter("testcase") for child in case)
    suite.set("tests", str(len(cases)))
    for count, tag in _COUNTS.items():
        suite.set(count, str(outcomes[tag]))
    suite.set("time", "0")  # levels are decoded together, block by block
    suite.set("timestamp", _clean(results.timings.created_at[:19]))  # the schemas know no zone
    if results.watermarks:
        lines = "\n".join(_clean(text) for text in results.watermarks)
        ElementTree.SubElement(suite, "system-out").text = lines
    return suite


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    yield "suite", results.suite
    yield "policy", results.policy
    yield "seed", str(results.seed)
    yield "reference", results.reference.name
    yield "engine", results.environment.engine
    if results.gate is not None:
        yield "gate", f"{results.gate.outcome}: {results.gate.reason}"


def _titles(cases: list[GateCase]) -> Iterator[str]:
    """Yield a name for each case; a reader merges cases of one name."""
    seen: Counter[str] = Counter()
    for case in cases:
        title = _clean(case_title(case))
        seen[title] += 1
        yield title if seen[title] == 1 else f"{title} ({seen[title]})"


def _case(results: Results, case: GateCase, title: str, class_name: str) -> ElementTree.Element:
    element = ElementTree.Element("testcase", classname=class_name, name=title, time="0")
    outcome = _outcome(results, case)
    reason = _clean(case.reason) or "no reason is recorded"
    if outcome == "skipped":
        not_asked = "" if case.decides else "not judged by this gate; "
        message = f"{not_asked}{case.verdict}: {reason}"
        ElementTree.SubElement(element, "skipped", message=message)
    elif outcome:
        child = ElementTree.SubElement(element, outcome, message=reason, type=case.verdict)
        child.text = f"{_clean(case.level)}: {title}: {case.verdict}: {reason}"
    return element


def _outcome(results: Results, case: GateCase) -> str:
    """Return the element that says what became of a case; empty for a pass."""
    if case.verdict == "pass":
        return ""
    if not case.decides:
        return "skipped"
    if results.gate is not None and case.verdict in results.gate.fail_on:
        return "failure"
    return {"fail": "failure", "lost": "error"}.get(case.verdict, "skipped")
