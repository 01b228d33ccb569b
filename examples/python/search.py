"""A client of about eighty lines: records an indicator, finds it again, and prints why a partner gets it or not.

    liaison client issue m.jansen --role analyst --dir cert
    pip install -r examples/python/requirements.txt
    python examples/python/search.py cert/clients/m.jansen.client support-9.example chakra-v dcu.example

The messages are generated from proto/ when it starts, into a directory that is removed again.
"""

import pathlib
import socket
import ssl
import sys
import tempfile
import tomllib

import grpc
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def generate(out):
    """Generates the messages and services of liaison.v1 and returns their modules."""
    files = sorted(str(path) for path in PROTO.glob("liaison/v1/*.proto"))
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + files) != 0:
        sys.exit("the messages could not be generated")
    sys.path.insert(0, out)
    from liaison.v1 import content_pb2, record_pb2, service_pb2, service_pb2_grpc

    return content_pb2, record_pb2, service_pb2, service_pb2_grpc


def node_certificate(profile):
    """Returns the certificate of the node in PEM, after Python verified it by the agency's authority and name.

    grpcio trusts this one alone: its TLS library refuses the authority itself, because that is constrained to IP
    addresses too and the library does not know such constraints.
    """
    context = ssl.create_default_context(cadata=profile["ca_pem"])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as identity:
        identity.write(profile["cert_pem"] + profile["key_pem"])
        identity.flush()
        context.load_cert_chain(identity.name)
    host, port = profile["node"].rsplit(":", 1)
    with socket.create_connection((host.strip("[]"), int(port)), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=profile["agency"]) as verified:
            return ssl.DER_cert_to_PEM_cert(verified.getpeercert(binary_form=True))


def connect(path):
    """Opens a channel to the node of a client profile."""
    profile = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    credentials = grpc.ssl_channel_credentials(
        root_certificates=node_certificate(profile).encode(),
        private_key=profile["key_pem"].encode(),
        certificate_chain=profile["cert_pem"].encode(),
    )
    options = [("grpc.ssl_target_name_override", profile["agency"])]
    return grpc.secure_channel(profile["node"], credentials, options)


def search(channel, modules, domain, operation, partner):
    """Returns the id of the record and the node's explanation for the partner."""
    content, record, service, stubs = modules
    records = stubs.RecordServiceStub(channel)
    draft = service.Draft(
        marking=record.Marking(tlp=record.TLP_GREEN, pap=record.PAP_GREEN),
        operation=operation,
        confidence=80,
        indicator=content.Indicator(type=content.VALUE_TYPE_DOMAIN, value=domain),
    )
    for result in records.SubmitRecords(service.SubmitRecordsRequest(drafts=[draft])).results:
        if result.outcome == service.DRAFT_OUTCOME_REFUSED:
            sys.exit(f"{result.field}: {result.reason}")

    answers = records.QueryRecords(service.QueryRecordsRequest(value=domain))
    found = [answer.record for answer in answers if answer.HasField("record")]
    if not found:
        sys.exit("the record was not found")
    question = service.ExplainDecisionRequest(record_id=found[0].record_id, partner=partner)
    return found[0].record_id.hex(), stubs.PolicyServiceStub(channel).ExplainDecision(question).text


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: search.py PROFILE DOMAIN OPERATION PARTNER")
    with tempfile.TemporaryDirectory() as generated, connect(sys.argv[1]) as node:
        record_id, explanation = search(node, generate(generated), *sys.argv[2:])
    print(f"record {record_id}\n{explanation}")
