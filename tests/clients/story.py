"""Every operation of a host, asked for where it can be carried out: the seed of what a fuzzer then asks for at random.

Each command is previewed first, and a preview must say that it is one.
"""

import datetime
import json
import shutil

from host import until

PROJECT = "prj_00000000000000000000000000000001"
QUOTA = {"cpuMillicores": 1000, "memoryBytes": 1 << 30, "storageBytes": 1 << 30, "requestsPerSecond": 1000}
FEW = {"cpuMillicores": 100, "memoryBytes": 1 << 20, "storageBytes": 1 << 20, "requestsPerSecond": 10}


def images(program, folder):
    """What the story's releases are of: the demo workload under three names, and a program that ends at once."""
    packed = [("demo/hello:1.0.0",)]
    for number in (2, 3):
        # Another content is another image.
        copy = folder / f"hello-{number}"
        shutil.copy(program, copy)
        with copy.open("ab") as file:
            file.write(bytes([number]))
        packed.append((f"demo/hello:{number}.0.0", "--executable", str(copy)))
    return packed + [("demo/broken:1.0.0", "--executable", shutil.which("false"))]


def component(number, **others):
    arguments = {} if number == 1 else {"arguments": ["workload"]}
    return {
        "image": f"demo/hello:{number}.0.0", "version": f"{number}.0.0", "readiness": {"path": "/", "periodMillis": 100}
    } | arguments | others


def release(reference, number, strategy=None, gates=None):
    return {
        "reference": reference, "strategy": strategy or {"rollingHealthGated": {}},
        "components": {"hello": component(number)}, "gates": gates or {},
    }


CANARY = {"canary": {"steps": [{"weight": 50, "holdsUntilResumed": True}]}}
AGREED = {"agreed": {"at": "before-rollout", "check": {"approval": {"required": 1}}}}


class Story:
    """Tells it as one caller, and as another where two must agree. `word` is in every name and reason of it, and nowhere else."""

    def __init__(self, caller, colleague, description, word):
        self.caller, self.colleague, self.word = caller, colleague, word
        self.reached, self.previewed, self.ids = set(), set(), {}
        self.operations = {
            operation["operationId"]: operation
            for methods in description["paths"].values()
            for operation in methods.values()
        }

    def told(self, name, answer):
        if not 200 <= answer.status_code < 300:
            raise AssertionError(f"{name}: {answer.status_code} {answer.text}")
        if name in self.operations:
            self.reached.add(name)
        document = answer.json()
        self.collect(document)
        return document

    def collect(self, document):
        """Remembers every identifier under the name of its parameter."""
        if isinstance(document, dict):
            for name, value in document.items():
                if name.endswith("Id") and isinstance(value, str):
                    self.ids.setdefault(name, set()).add(value)
                self.collect(value)
        elif isinstance(document, list):
            for value in document:
                self.collect(value)

    def do(self, name, body=None, *, by=None, query=None, **path):
        caller = by or self.caller
        parameters = self.operations[name].get("parameters", [])
        if any(parameter["name"] == "dryRun" for parameter in parameters):
            answer = caller.ask(name, body, query={"dryRun": "true"}, **path)
            if answer.status_code != 200 or answer.json().get("dryRun") is not True:
                raise AssertionError(f"a preview of {name}: {answer.status_code} {answer.text}")
            self.previewed.add(name)
        answer = self.told(name, caller.ask(name, body, query=query, **path))
        if answer.get("dryRun"):
            raise AssertionError(f"{name} was only previewed")
        return answer.get("result", answer)

    def until(self, name, happened, **path):
        def look():
            document = self.told(name, self.caller.ask(name, **path))
            return document if happened(document) else None

        return until(f"what is waited for of {name}", look)

    def why(self, what):
        return {"reason": f"{what} {self.word}"}

    def tell(self, secret, desired_state, engine):
        # What takes its time is asked for before anything waits for it.
        dev, test = self.environment("dev", "dev"), self.environment("test", "test")
        pool, silo = self.environment("pool", "dev", "pool"), self.environment("silo", "dev")
        for environment in (dev, test, pool, silo):
            self.until(
                "RuntimeEnvironmentService.GetEnvironment", lambda it: it["status"] == "provisioned",
                environmentId=environment,
            )
        self.configurations(dev)
        binding = self.do("SecretBindingService.BindSecret", {
            "environmentId": dev, "module": "hello", "secret": secret, "identity": "local:demo",
            "delivery": "file:greeting",
        })["secretBindingId"]
        first = self.completed(dev, release(f"first-{self.word}", 1))
        self.services(dev)
        self.scaling(dev)
        self.deployments(dev, first)
        self.promotion(dev, test)
        self.drift(test, desired_state)
        self.secrets(binding)
        self.tenancy(pool, silo)
        self.environments(silo)
        self.failing(engine)
        self.do("AuditService.VerifyAudit")

    def wanted(self, name, stage, model="silo"):
        return {
            "projectId": PROJECT, "name": f"{name}-{self.word}", "stage": stage, "region": "local",
            "isolationModel": model, "surfaces": ["process"],
        }

    def environment(self, *wanted):
        asked = self.do("RuntimeEnvironmentService.ProvisionEnvironment", self.wanted(*wanted))
        return asked["environmentId"]

    def configurations(self, environment):
        service, published = "RuntimeConfigurationService.", []
        for text in ("hello", "goodbye", "never mind"):
            entry = {"scope": "environment", "key": "GREETING", "value": {"text": {"value": f"{text} {self.word}"}}}
            asked = self.do(service + "PublishConfiguration", {"environmentId": environment, "entries": [entry]})
            published.append(asked["configurationId"])
        one, other, last = published
        self.do(service + "ListConfigurations", query={"environmentId": environment})
        self.do(service + "GetConfiguration", configurationId=one)
        self.do(service + "DiffConfigurations", query={"to": other}, configurationId=one)
        self.do(service + "GetEffectiveConfiguration", query={"module": "hello"}, configurationId=one)
        self.do(service + "ListConfigurationHistory", configurationId=one)
        self.do(service + "WithdrawConfiguration", self.why("too much"), configurationId=last)
        self.do(service + "SynchroniseConfiguration", {"inPlace": True}, configurationId=other)
        self.do(service + "ListConfigurationConsumers", environmentId=environment)

    def requested(self, environment, asked, **others):
        body = {"environmentId": environment, "release": asked} | others
        return self.do("DeploymentService.RequestDeployment", body)["deploymentId"]

    def deployment(self, deployment, happened):
        return self.until("DeploymentService.GetDeployment", happened, deploymentId=deployment)

    def completed(self, environment, asked):
        deployment = self.requested(environment, asked)
        ended = ("completed", "rolled-back", "rejected", "failed")
        found = self.deployment(deployment, lambda it: it["status"] in ended)
        if found["status"] != "completed":
            raise AssertionError(f"{asked['reference']}: {found.get('cause')}")
        return deployment

    def deployments(self, environment, first):
        service = "DeploymentService."

        self.do(service + "ListDeployments")
        self.do(service + "ExplainDeployment", deploymentId=first)
        self.do(service + "ListDeploymentHistory", deploymentId=first)
        self.progress(first)

        rejected = self.requested(environment, release(f"unwanted-{self.word}", 2, gates=AGREED))
        self.do(service + "RejectDeployment", {"gate": "agreed"} | self.why("no"), by=self.colleague, deploymentId=rejected)
        self.deployment(rejected, lambda it: it["status"] == "rejected")

        second = self.requested(environment, release(f"second-{self.word}", 2, CANARY, AGREED))
        self.do(service + "PauseDeployment", self.why("wait"), deploymentId=second)
        self.do(service + "ResumeDeployment", deploymentId=second)
        self.do(service + "ApproveDeployment", {"gate": "agreed"}, by=self.colleague, deploymentId=second)
        self.deployment(second, lambda it: it["status"] == "in-progress" and it.get("startedAt"))
        self.do(service + "PromoteDeployment", deploymentId=second)

        def done():
            # It may have been promoted before it was held.
            found = self.told(service + "GetDeployment", self.caller.ask(service + "GetDeployment", deploymentId=second))
            if found["status"] in ("in-progress", "paused"):
                self.caller.ask(service + "PromoteDeployment", deploymentId=second)
            return found["status"] == "completed"

        until("the second release", done)

        aborted = self.requested(environment, release(f"third-{self.word}", 3, CANARY))
        self.deployment(aborted, lambda it: it["steps"][0]["status"] == "rolling-out")
        self.do(service + "AbortDeployment", self.why("stop"), deploymentId=aborted)
        gone = self.deployment(aborted, lambda it: it["status"] == "rolled-back")
        if gone["quarantined"]:
            self.do(service + "ReleaseQuarantine", self.why("it was not at fault"), deploymentId=aborted)
        back = self.do(service + "RollBack", deploymentId=first)["deploymentId"]
        self.deployment(back, lambda it: it["status"] == "completed")

    def progress(self, deployment):
        for name, path in (("Progress.FollowDeployment", {"deploymentId": deployment}), ("Progress.FollowTenant", {})):
            method, template = self.caller.paths[name]
            url = self.caller.address + template.format(**path)
            with self.caller.session.request(method, url, stream=True, timeout=30) as answer:
                if answer.status_code != 200 or not next(answer.iter_lines()):
                    raise AssertionError(f"{name}: {answer.status_code}")
            self.reached.add(name)

    def promotion(self, environment, following):
        query = {"fromEnvironmentId": environment, "toEnvironmentId": following}
        self.until("RuntimeEnvironmentService.GetEnvironment", lambda it: it["status"] == "provisioned", environmentId=following)
        self.told("DeploymentService.ExplainPromotion", self.caller.ask("DeploymentService.ExplainPromotion", query=query))
        promoted = self.do("DeploymentService.PromoteRelease", query)["deploymentId"]
        self.deployment(promoted, lambda it: it["status"] == "completed")

    def services(self, environment):
        found = self.until(
            "ServiceCatalogRuntimeService.ListServices", lambda it: [s for s in it["items"] if s["environmentId"] == environment]
        )
        service = next(s["serviceId"] for s in found["items"] if s["environmentId"] == environment)
        for name in ("GetService", "ListServiceHistory"):
            self.do("ServiceCatalogRuntimeService." + name, serviceId=service)
        self.do("RuntimeHealthService.EvaluateService", serviceId=service)
        self.do("RuntimeHealthService.GetServiceHealth", serviceId=service)
        self.do("RuntimeHealthService.GetProductHealth", environmentId=environment)
        self.do("RuntimeHealthService.ListHealthResults", query={"environmentId": environment, "module": "hello"})

    def scaling(self, environment):
        service = "RuntimeScalingService."
        policy = {"target": "process", "minReplicas": 1, "maxReplicas": 2, "rules": [{"metric": "request-rate", "threshold": "5000"}]}
        body = {"environmentId": environment, "module": "hello", "policy": policy}
        applied = {"scalingPolicyId": self.do(service + "ApplyScalingPolicy", body)["scalingPolicyId"]}
        for name in ("GetScalingPolicy", "ListScalingPolicyHistory", "ExplainScaling"):
            self.do(service + name, **applied)
        self.do(service + "ListScalingPolicies")
        self.do(service + "ChangeScalingPolicy", {"policy": policy | {"cooldownSeconds": 60}}, **applied)
        self.do(service + "SuspendScaling", self.why("quiet"), **applied)
        self.do(service + "ResumeScaling", **applied)
        self.do(service + "RetireScalingPolicy", self.why("enough"), **applied)

    def drift(self, environment, desired_state):
        service = "RuntimeDriftDetectionService."
        desired = {
            "release": f"desired-{self.word}", "strategy": {"rolling-health-gated": {}},
            "limits": {"deadline": "30s", "progress_deadline": "20s", "rollback_deadline": "30s", "crash_limit": 1},
            "components": {
                "hello": {"image": "demo/broken:1.0.0", "version": "9.0.0", "readiness": {"path": "/"}},
            },
        }
        (desired_state / "hello.json").write_text(json.dumps(desired))
        terms = {
            "path": "hello", "intervalMillis": 1_000,
            "budget": {"mostAttempts": 1, "firstBackoffMillis": 1_000, "longestBackoffMillis": 1_000, "deadlineMillis": 60_000},
            "rules": [{"path": ["labels", "*"], "treatment": {"ignored": {}}}],
        }
        watched = {"environmentId": environment}
        self.do(service + "WatchEnvironment", {"terms": terms}, **watched)
        self.do(service + "GetDriftWatch", **watched)
        self.do(service + "CompareEnvironment", **watched)
        found = self.until(service + "GetEnvironmentDrift", lambda it: it["findings"], **watched)
        finding = {"findingId": found["findings"][0]["findingId"]}
        self.do(service + "ListDriftFindings")
        for name in ("GetDriftFinding", "ListDriftFindingHistory", "ExplainDriftFinding"):
            self.do(service + name, **finding)
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        self.do(service + "AcceptDriftException", self.why("known") | {"expiresAt": soon.isoformat()}, **finding)
        self.do(service + "RevokeDriftException", self.why("no more"), **finding)
        self.do(service + "RemediateDrift", **finding)
        self.until(service + "GetDriftFinding", lambda it: it["status"] == "escalated", **finding)
        self.do(service + "RetryRemediation", **finding)
        self.do(service + "StopWatching", self.why("enough"), **watched)
        self.do(service + "ListDriftWatchHistory", **watched)

    def secrets(self, binding):
        service, bound = "SecretBindingService.", {"secretBindingId": binding}
        for name in ("GetSecretBinding", "ListSecretBindingHistory"):
            self.do(service + name, **bound)
        self.do(service + "ListSecretBindings")
        self.do(service + "ChangeRotationSchedule", {"rotationSchedule": {"graceMillis": 600_000}}, **bound)
        self.do(service + "SuspendRotation", self.why("quiet"), **bound)
        self.do(service + "ResumeRotation", **bound)
        self.do(service + "RotateSecret", self.why("old"), **bound)
        self.do(service + "AbortRotation", self.why("not now"), **bound)
        self.until(service + "GetSecretBinding", lambda it: it["status"] == "bound", **bound)
        self.do(service + "UnbindSecret", self.why("enough"), **bound)

    def tenancy(self, pool, silo):
        service = "TenantRuntimeIsolationService."
        asked = {"environmentId": pool, "isolationModel": "pool", "quota": FEW}
        bound = {"tenantBindingId": self.do(service + "BindTenant", asked)["tenantBindingId"]}
        self.until(service + "GetTenantBinding", lambda it: it["status"] == "bound", **bound)
        for name in ("ListTenantBindingHistory", "GetTenantIsolation"):
            self.do(service + name, **bound)
        self.do(service + "ListTenantBindings")
        self.do(service + "AdjustQuota", {"quota": QUOTA}, **bound)
        self.do(service + "CordonTenant", self.why("full"), **bound)
        self.do(service + "UncordonTenant", **bound)
        self.do(service + "ProtectTenantBinding", {"isProtected": False}, **bound)
        self.do(service + "MoveTenant", {"targetEnvironmentId": silo, "observeMillis": 600_000}, **bound)
        self.do(service + "AbortTenantMove", self.why("stay"), **bound)
        self.until(service + "GetTenantBinding", lambda it: it["status"] == "bound", **bound)
        self.do(service + "ReleaseTenant", self.why("enough"), **bound)

    def environments(self, environment):
        service, it = "RuntimeEnvironmentService.", {"environmentId": environment}
        for name in ("ListEnvironmentHistory", "GetEnvironmentCalendar", "GetEnvironmentOutputs", "RefreshEnvironment"):
            self.do(service + name, **it)
        self.do(service + "ListEnvironments", query={"limit": 500})
        self.do(service + "ChangeEnvironment", {"egressAllowList": {"destinations": [f"{self.word}.example.com"]}}, **it)
        self.do(service + "ChangeProtection", {"isProtected": True}, **it)
        self.do(service + "ChangeProtection", {"isProtected": False}, **it)
        self.do(service + "ChangeCalendar", {}, **it)
        self.do(service + "ChangePromotionPolicy", {}, **it)
        self.do(service + "ChangeExpiry", {"timeToLiveSeconds": 86_400}, **it)
        self.do(service + "StopTheLine", self.why("an incident"), **it)
        self.do(service + "ResumeTheLine", self.why("it is over"), **it)

    def failing(self, engine):
        """An environment whose engine finds a file where its folder was."""
        service, away = "RuntimeEnvironmentService.", engine.with_suffix(".away")
        engine.rename(away)
        engine.touch()
        try:
            # Not previewed: a preview would be refused.
            asked = self.caller.ask(service + "ProvisionEnvironment", self.wanted("failing", "dev"))
            failing = {"environmentId": self.told(service, asked)["result"]["environmentId"]}
            self.until(service + "GetEnvironment", lambda it: it["status"] == "provisioning-failed", **failing)
        finally:
            engine.unlink()
            away.rename(engine)
        self.do(service + "RetryProvisioning", **failing)
        self.do(service + "DecommissionEnvironment", self.why("enough"), **failing)

    def unreached(self):
        return sorted(set(self.operations) - self.reached)
