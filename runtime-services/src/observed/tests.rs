//! What is told of commands, commits and passes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{EnvironmentId, ProjectId};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{FencingToken, SurfaceKind};
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::Name;
use runtime_ports::store::{AggregateKey, LeaseTopic};
use runtime_ports::telemetry::{InProcessMeter, Telemetry, TraceContext};
use runtime_system::UuidV7Generator;
use runtime_testkit::sample;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::*;
use crate::context::Context;
use crate::environments::{EnvironmentService, NewEnvironment};
use crate::host::{HostOptions, Ports};
use crate::reconcile::scope_of;
use crate::records::Records;
use crate::testing::{self, DrivenClock};

/// Always in one span, and remembers what was followed.
#[derive(Default)]
struct OneTrace {
    followed: Mutex<Vec<(TraceParent, Follows)>>,
}

fn parent() -> TraceParent {
    TraceParent::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap()
}

impl TraceContext for OneTrace {
    fn current(&self) -> Option<TraceParent> {
        Some(parent())
    }

    fn follow(&self, _span: &Span, parent: &TraceParent, how: Follows) {
        self.followed.lock().unwrap().push((parent.clone(), how));
    }
}

struct Stage {
    clock: DrivenClock,
    host: Host,
    meter: Arc<InProcessMeter>,
    traces: Arc<OneTrace>,
    service: EnvironmentService,
    scope: TenantScope,
}

impl Stage {
    fn set() -> Self {
        let clock = DrivenClock::at(sample::at(0));
        let ids = Arc::new(UuidV7Generator::new());
        let ports = Ports { ids, ..testing::host(&clock, Records::default()).ports().clone() };
        let (meter, traces) = (Arc::new(InProcessMeter::default()), Arc::new(OneTrace::default()));
        let telemetry = Telemetry { meter: meter.clone(), traces: traces.clone() };
        let host = Host::observed(ports, HostOptions::default(), Context::ALL.into(), telemetry);
        let service = EnvironmentService::new(host.clone());
        Self { clock, host, meter, traces, service, scope: sample::scope(0) }
    }

    async fn provision(&self) -> EnvironmentId {
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(uuid::Uuid::from_u128(7)),
            name: Name::new("seen").unwrap(),
            stage: EnvironmentStage::Dev,
            region: Name::new("local").unwrap(),
            isolation_model: IsolationModel::Silo,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        self.service.provision(&self.scope, wanted).await.unwrap().aggregate.id()
    }

    fn commands(&self, command: &'static str, outcome: &str) -> f64 {
        let attributes = [("factory.command", command), ("factory.outcome", outcome)];
        self.meter.total(Instrument::CommandDuration, &attributes)
    }

    fn lease(&self, environment: EnvironmentId) -> Lease {
        Lease {
            topic: LeaseTopic::Work,
            tenant: self.scope.tenant(),
            key: AggregateKey { kind: AggregateKind::RuntimeEnvironment, id: environment.uuid() },
            host: self.host.id(),
            token: FencingToken(1),
            previous: None,
            revision: None,
            until: sample::at(0),
        }
    }
}

#[tokio::test]
async fn commands_commits_and_events_are_counted_by_what_became_of_them() {
    let stage = Stage::set();
    let environment = stage.provision().await;
    stage.provision().await;
    for protected in [true, true, false, true] {
        stage.service.protect(&stage.scope, environment, protected).await.unwrap();
    }
    assert!(stage.service.protect(&sample::scope(1), environment, true).await.is_err());
    // What is protected is not taken down.
    assert!(stage.service.decommission(&stage.scope, environment, "over".to_owned()).await.is_err());
    assert_eq!((stage.commands("Provision", "done"), stage.commands("Provision", "unchanged")), (1.0, 1.0));
    let outcomes = ["done", "unchanged", "not-found", "refused"];
    assert_eq!(outcomes.map(|outcome| stage.commands("ProtectFromDeletion", outcome)), [2.0, 1.0, 1.0, 0.0]);
    assert_eq!(outcomes.map(|outcome| stage.commands("Unprotect", outcome)), [1.0, 0.0, 0.0, 0.0]);
    let decommission = outcomes.map(|outcome| stage.commands("DecommissionRuntimeEnvironment", outcome));
    assert_eq!(decommission, [0.0, 0.0, 0.0, 1.0]);
    let committed = [("factory.aggregate.kind", "RuntimeEnvironment"), ("factory.outcome", "committed")];
    assert_eq!(stage.meter.total(Instrument::CommitDuration, &committed), 4.0);
    assert_eq!(stage.meter.total(Instrument::Events, &[("factory.event", "EnvironmentProtected")]), 2.0);
}

/// Shows.
#[tokio::test]
async fn what_is_committed_says_which_span_it_was_decided_in() {
    let stage = Stage::set();
    let environment = stage.provision().await;
    let history = stage.service.history(&stage.scope, environment, 0, 10).await.unwrap();
    assert!(!history.is_empty() && history.iter().all(|entry| entry.trace_parent == Some(parent())));
    let entry = history.first().unwrap();
    let found = stage.service.environment(&stage.scope, environment).await.unwrap();
    let (_, envelope) = crate::events::envelope(&stage.host, &stage.scope, &found, entry, 1).unwrap();
    assert!(envelope.contains(parent().as_str()), "{envelope}");
}

/// Shows X-10.
#[tokio::test]
async fn a_pass_continues_the_trace_that_began_the_work_and_refers_to_it_after_a_day() {
    let _subscriber = tracing_subscriber::registry().set_default();
    let stage = Stage::set();
    let environment = stage.provision().await;
    let lease = stage.lease(environment);
    for advance in [Time::ZERO, Time::from_secs(25 * 3_600)] {
        stage.clock.advance(advance);
        let pass = Pass::begin(&stage.host, "environment", &lease);
        assert_eq!(stage.meter.total(Instrument::PassesActive, &[]), 1.0);
        scope_of(&stage.host, "environment", &lease).instrument(pass.span()).await.unwrap();
        pass.ended(&Ok(Passed::AsStored));
    }
    let followed = stage.traces.followed.lock().unwrap().clone();
    assert_eq!(followed, [(parent(), Follows::Child), (parent(), Follows::Link)]);
    assert_eq!(stage.meter.total(Instrument::PassesActive, &[]), 0.0);
    assert_eq!(stage.meter.total(Instrument::PassDuration, &[("factory.outcome", "done")]), 2.0);
}

#[test]
fn every_event_that_means_something_is_one_of_the_domain() {
    let source = |context: &str| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime-domain/src/");
        std::fs::read_to_string(format!("{path}{context}/event.rs")).unwrap()
    };
    let contexts = [
        (AggregateKind::RuntimeDeployment, "deployment"),
        (AggregateKind::ScalingPolicy, "scaling"),
        (AggregateKind::SecretBinding, "secrets"),
        (AggregateKind::RuntimeDriftFinding, "drift"),
    ];
    let mut meant = BTreeSet::new();
    for (kind, context) in contexts {
        for name in source(context).split('"').filter(|name| meaning(kind, name).is_some()) {
            meant.insert(name.to_owned());
        }
    }
    // As many as `meaning` names: one that the domain no longer has would be missing.
    let own = include_str!("../observed.rs");
    let own = own.split_once("pub(crate) fn meaning").unwrap().1;
    let names = own.split('"').filter(|part| part.starts_with(|first: char| first.is_ascii_uppercase()));
    assert_eq!(names.map(str::to_owned).collect::<BTreeSet<_>>(), meant);
}
