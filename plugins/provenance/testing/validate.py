"""Has a document of a provenance bundle checked by its format's own tool: validate.py FORMAT FILE. Prints what it finds, as JSON."""

import base64
import json
import sys


def cyclonedx(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    with open(path) as file:
        text = file.read()
    fault = JsonStrictValidator(SchemaVersion.V1_7).validate_str(text)
    return {"faults": [] if fault is None else [str(fault)]}


def croissant(path):
    import mlcroissant as mlc

    try:
        dataset = mlc.Dataset(jsonld=path)
    except mlc.ValidationError as error:
        return {"faults": [str(error)]}
    issues = dataset.metadata.ctx.issues

    def plain(value):
        return value.decode() if isinstance(value, bytes) else value

    records = {
        name: [{key: plain(value) for key, value in record.items()} for record in dataset.records(record_set=name)]
        for name in ("examples", "contributions")
    }
    return {
        "faults": [*issues.errors, *issues.warnings],
        "version": dataset.metadata.ctx.conforms_to.value,
        "records": records,
    }


def in_toto(path):
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement, statement_pb2

    with open(path) as file:
        payload = base64.b64decode(json.load(file)["payload"])
    try:
        parsed = json_format.Parse(payload, statement_pb2.Statement())
        statement.Statement.copy_from_pb(parsed).validate()
        # Unknown fields are faults: the predicate has those of SLSA and no others.
        predicate = json_format.ParseDict(json.loads(payload)["predicate"], provenance_pb2.Provenance())
        return {"faults": [], "type": parsed.predicate_type, "build": predicate.build_definition.build_type}
    except Exception as error:
        return {"faults": [str(error)]}


print(json.dumps({"cyclonedx": cyclonedx, "croissant": croissant, "in-toto": in_toto}[sys.argv[1]](sys.argv[2])))
