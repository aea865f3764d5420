"""The nine operations of the specification by gRPC, through a client that knows nothing but what the host tells by reflection.

    tests/clients/run reflection.py PROGRAM      PROGRAM is the built example `host`

It prints each method and what came of it, and exits with 0 only if every one is answered.
"""

import signal
import sys

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from host import PATIENCE, Host, until

PACKAGE = "factory.runtime.v1."


class Client:
    """Asks for methods by their names, with documents as JSON has them."""

    def __init__(self, channel):
        self.channel, self.told = channel, ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self.told)

    def ask(self, name, document, shown=True):
        service, method = name.split("/")
        method = self.pool.FindServiceByName(PACKAGE + service).methods_by_name[method]
        request, answer = (message_factory.GetMessageClass(it) for it in (method.input_type, method.output_type))
        call = self.channel.unary_unary(
            f"/{PACKAGE}{name}", request_serializer=lambda it: it.SerializeToString(), response_deserializer=answer.FromString
        )
        answered = call(json_format.ParseDict(document, request()), timeout=PATIENCE)
        if shown:
            print(f"OK {name}")
        return json_format.MessageToDict(answered)

    def until(self, name, document, happened):
        def look():
            answer = self.ask(name, document, shown=False)
            return answer if happened(answer) else None

        return until(f"what is waited for of {name}", look)


def main(program):
    secrets = [("local://demo/greeting", "correct horse")]
    with Host(program, images=[("demo/hello:1.0.0",)], secrets=secrets) as host:
        with grpc.insecure_channel(host.address.removeprefix("http://")) as channel:
            tour(Client(channel), host.secrets[0])


def tour(client, secret):
    ours = sorted(name for name in client.told.get_services() if name.startswith(PACKAGE))
    print(f"{len(ours)} services: {', '.join(name.removeprefix(PACKAGE) for name in ours)}")

    environment = client.ask("RuntimeEnvironmentService/ProvisionEnvironment", {
        "projectId": "prj_00000000000000000000000000000001", "name": "dev", "stage": "dev", "region": "local",
        "isolationModel": "silo", "surfaces": ["process"],
    })["result"]["environmentId"]
    here = {"environmentId": environment}
    client.until("RuntimeEnvironmentService/GetEnvironment", here, lambda it: it["status"] == "provisioned")
    client.ask("RuntimeEnvironmentService/GetEnvironment", here)
    client.ask("RuntimeConfigurationService/PublishConfiguration", here | {
        "entries": [{"scope": "environment", "key": "GREETING", "value": {"text": {"value": "hello"}}}],
    })
    client.ask("SecretBindingService/BindSecret", here | {
        "module": "hello", "secret": secret, "identity": "local:demo", "delivery": "file:greeting",
    })
    component = {"image": "demo/hello:1.0.0", "version": "1.0.0", "replicas": 2, "readiness": {"path": "/"}}
    release = {"reference": "hello-1", "strategy": {"rollingHealthGated": {}}, "components": {"hello": component}}
    requested = client.ask("DeploymentService/RequestDeployment", here | {"release": release})
    deployment = {"deploymentId": requested["result"]["deploymentId"]}
    client.until("DeploymentService/GetDeployment", deployment, lambda it: it["status"] == "completed")
    client.ask("DeploymentService/GetDeployment", deployment)
    client.ask("RuntimeScalingService/ApplyScalingPolicy", here | {"module": "hello", "policy": {
        "target": "process", "minReplicas": 1, "maxReplicas": 4, "rules": [{"metric": "request-rate", "threshold": "50"}],
    }})
    listed = client.until("ServiceCatalogRuntimeService/ListServices", here, lambda it: it.get("items"))
    client.ask("RuntimeHealthService/GetServiceHealth", {"serviceId": listed["items"][0]["serviceId"]})
    client.ask("RuntimeDriftDetectionService/GetEnvironmentDrift", here)


if __name__ == "__main__":
    # Whoever ends this ends the host with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main(sys.argv[1])
    except grpc.RpcError as refused:
        sys.exit(f"{refused.code().name}: {refused.details()}")
