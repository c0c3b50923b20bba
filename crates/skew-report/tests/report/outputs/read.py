"""Reads what skew wrote with tools that are not skew's, and prints what they saw as JSON.

    read.py DIR     with junit.xml, cells.csv, results.json, results.schema.json in it
"""

import collections
import csv
import json
import pathlib
import sys

import jsonschema
import junitparser

here = pathlib.Path(sys.argv[1])

cases = collections.Counter()
flaky = 0
for suite in junitparser.JUnitXml.fromfile(str(here / "junit.xml")):
    counted = collections.Counter()
    for case in suite:
        # The first of them is what the case came to; elements of Surefire's own are none of its results.
        results = case.result if isinstance(case.result, list) else [case.result] if case.result else []
        word = type(results[0]).__name__.lower() if results else "passed"
        counted[word] += 1
        flaky += len(case._elem.findall("flakyFailure")) + len(case._elem.findall("rerunFailure"))
    # What the suite says of itself is what is in it.
    assert suite.tests == sum(counted.values()), suite.name
    assert suite.failures == counted["failure"], suite.name
    assert suite.errors == counted["error"], suite.name
    assert suite.skipped == counted["skipped"], suite.name
    cases.update(counted)

with open(here / "cells.csv", newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file, strict=True))
for row in rows:
    assert None not in row and None not in row.values(), row
    for value in row.values():
        assert not value.lstrip().startswith(("=", "+", "-", "@")), value

schema = json.loads((here / "results.schema.json").read_text(encoding="utf-8"))
results = json.loads((here / "results.json").read_text(encoding="utf-8"))
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
validator(schema).validate(results)
# A schema that takes anything shows nothing.
wrong = dict(results, tally=dict(results["tally"], fail="many"))
assert not validator(schema).is_valid(wrong)

json.dump(
    {
        "cases": dict(cases),
        "again": flaky,
        "rows": len(rows),
        "verdicts": dict(collections.Counter(row["verdict"] for row in rows)),
    },
    sys.stdout,
)
