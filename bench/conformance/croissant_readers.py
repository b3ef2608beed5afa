"""Reads an exported folder with mlcroissant: prints its warnings and errors, and the hashes of its records by split, as JSON."""

import json
import sys

import mlcroissant as mlc

dataset = mlc.Dataset(jsonld=sys.argv[1])
issues = dataset.metadata.ctx.issues


def plain(value):
    return value.decode() if isinstance(value, bytes) else value


hashes = {}
for record_set in dataset.metadata.record_sets:
    split = record_set.id
    hashes[split] = [plain(record[f"{split}/hash"]) for record in dataset.records(record_set=split)]
json.dump({"errors": list(issues.errors), "warnings": list(issues.warnings), "hashes": hashes}, sys.stdout)
