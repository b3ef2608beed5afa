"""Opens a signed envelope with securesystemslib and its statement with in-toto-attestation, and signs one of its own, as JSON."""

import json
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

envelope_file, key_file = sys.argv[1:]
with open(envelope_file) as file:
    document = json.load(file)
with open(key_file) as file:
    public = load_pem_public_key(file.read().encode())
key = SSlibKey.from_crypto(public, keyid=document["signatures"][0]["keyid"])

envelope = Envelope.from_dict(json.loads(json.dumps(document)))
accepted = list(envelope.verify([key], 1))

changed = Envelope.from_dict(json.loads(json.dumps(document)))
changed.payload += b" "
try:
    changed.verify([key], 1)
    refused = False
except VerificationError:
    refused = True

statement = json.loads(envelope.payload)
message = ParseDict(statement, StatementMessage())
Statement.copy_from_pb(message).validate()

signer = CryptoSigner.generate_ed25519()
own = Envelope(b'{"of": "Python"}', "application/vnd.in-toto+json", {})
own.sign(signer)
print(
    json.dumps(
        {
            "accepted": accepted,
            "refused": refused,
            "predicateType": message.predicate_type,
            "subjects": len(message.subject),
            "envelope": own.to_dict(),
            "key": signer.public_key.keyval["public"],
        }
    )
)
