//! One component, brought as any is, and as many copies of its records as are wanted.

use std::sync::Arc;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::id::{EventId, ServiceId};
use runtime_domain::inventory::{RuntimeService, RuntimeStatus};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;
use runtime_ports::clock::{Clock as _, IdGenerator as _};
use runtime_ports::store::{
    AggregateWrite, ChainDigest, Commit, Expected, Facets, HistoryEntry, Repository, StoredRecord,
};
use runtime_services::HostOptions;
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::sample;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, TENANTS, Tenants};
use crate::surface::{Surface, planted};

/// How many records are planted at once.
const TOGETHER: u64 = 100;

pub(crate) struct Template {
    pub(crate) surface: Arc<Surface>,
    deployment: RuntimeDeployment,
    service: RuntimeService,
}

impl Template {
    pub(crate) async fn grown() -> Self {
        let stage = Stage::open("memory").await;
        let surface = Arc::<Surface>::default();
        let services = stage.services(Arc::clone(&surface), HostOptions::default());
        let tenants = Tenants::admitted(&services).await;
        tenants.request(&services, 0).await;
        let stop = CancellationToken::new();
        let (_, (deployment, service)) = tokio::join!(services.run(stop.clone()), async {
            tenants.until_completed(&services, 0).await;
            let deployment = tenants.deployment(&services, 0).await;
            let (scope, id) = (sample::scope(0), ServiceId::of(deployment.environment_id(), &module(0)));
            let service = loop {
                match services.inventory().service(&scope, id).await {
                    Ok(service) if service.status() == RuntimeStatus::Running => break service,
                    _ => tokio::task::yield_now().await,
                }
            };
            stop.cancel();
            (deployment, service)
        });
        Self { surface: Arc::<Surface>::default(), deployment, service }
    }

    /// The planted service with this number.
    pub(crate) fn service(&self, number: u64) -> (TenantScope, ServiceId) {
        let tenant = number % TENANTS;
        (sample::scope(tenant), ServiceId::of(sample::environment(tenant), &module(number)))
    }

    /// Plants so many components, last seen so long ago, and due to be looked at now or in an hour.
    pub(crate) async fn plant(&self, stage: &Stage, size: u64, age: Span, is_due: bool) {
        let now = SystemClock::new().now();
        let last_seen = now - age.to_std();
        let due = if is_due { now } else { Span::from_secs(3_600).after(now) };
        // A look that comes so soon after the last one is no commit.
        let is_recent = age < Span::from_secs(60);
        let seen_at = if is_recent { Span::from_secs(1).after(last_seen) } else { now };
        *self.surface.seen_at.lock().unwrap() = Some(seen_at);
        for tenant in 0..TENANTS {
            let store = stage.store.for_tenant(&sample::scope(tenant));
            let own: Vec<u64> = (tenant..size).step_by(usize::try_from(TENANTS).unwrap()).collect();
            for some in own.chunks(usize::try_from(TOGETHER).unwrap()) {
                let writes = some.iter().flat_map(|number| self.copies(*number, last_seen, due)).collect();
                store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
            }
        }
    }

    fn copies(&self, number: u64, last_seen: Timestamp, due: Timestamp) -> [AggregateWrite; 2] {
        let mut service = self.copy(&self.service, number);
        let seen = serde_json::to_value(last_seen).unwrap();
        service = observed(service, &seen);
        let deployment = self.copy(&self.deployment, number);
        [write::<RuntimeDeployment>(deployment, None), write::<RuntimeService>(service, Some(due))]
    }

    /// An aggregate's record under other names.
    fn copy<A: Aggregate>(&self, aggregate: &A, number: u64) -> serde_json::Value {
        let tenant = number % TENANTS;
        let environment = sample::environment(tenant);
        let (own, other) = (self.service.environment(), environment);
        let text = serde_json::to_string(&aggregate.to_record()).unwrap();
        let renamed = text
            .replace(&own.to_string(), &other.to_string())
            .replace(&sample::tenant(0).to_string(), &sample::tenant(tenant).to_string())
            .replace(&self.deployment.id().to_string(), &planted(number).to_string())
            .replace(
                &self.service.service_id().to_string(),
                &ServiceId::of(environment, &module(number)).to_string(),
            )
            .replace("component-0", &format!("component-{number}"));
        serde_json::from_str(&renamed).unwrap()
    }
}

pub(crate) fn module(number: u64) -> Name {
    Name::new(&format!("component-{number}")).unwrap()
}

/// The same, last seen at another time.
fn observed(value: serde_json::Value, at: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => {
            let members = members.into_iter().map(|(name, member)| {
                let member = if name == "observed_at" { at.clone() } else { observed(member, at) };
                (name, member)
            });
            serde_json::Value::Object(members.collect())
        }
        serde_json::Value::Array(items) => items.into_iter().map(|item| observed(item, at)).collect(),
        plain => plain,
    }
}

fn write<A: Aggregate>(record: serde_json::Value, wake_at: Option<Timestamp>) -> AggregateWrite {
    let body = record.to_string();
    let aggregate = A::from_record(A::SCHEMA, serde_json::from_value(record).unwrap()).unwrap();
    let key = Repository::<A>::key(aggregate.uuid());
    let scope = sample::scope(0);
    let mut entry = HistoryEntry {
        sequence: 1,
        id: EventId::from_uuid(UuidV7Generator::default().next()),
        event: "Planted".to_owned(),
        body: "{}".to_owned(),
        at: SystemClock::new().now(),
        actor: scope.actor().clone(),
        correlation: scope.correlation(),
        causation: None,
        explanation: "it was planted".to_owned(),
        digest: ChainDigest::GENESIS,
    };
    entry.digest = ChainDigest::GENESIS.then(aggregate.tenant(), key, &entry);
    AggregateWrite {
        key,
        expected: Expected::Absent,
        record: StoredRecord { schema: A::SCHEMA, body },
        facets: Facets {
            environment: aggregate.environment(),
            status: aggregate.status().to_owned(),
            modules: aggregate.modules(),
        },
        claims: aggregate.claims(),
        history: vec![entry],
        outbox: Vec::new(),
        wake_at,
    }
}
