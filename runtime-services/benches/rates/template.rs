//! One component, brought as any is, and as many copies of its records as are wanted.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::component::RevisionId;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::id::{EventId, HealthCheckResultId, ServiceId};
use runtime_domain::inventory::{RuntimeService, RuntimeStatus};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;
use runtime_ports::clock::{Clock as _, IdGenerator as _};
use runtime_ports::health_results::HealthRecord;
use runtime_ports::store::{
    AggregateWrite, ChainDigest, Commit, Expected, Facets, HistoryEntry, Repository, StoredRecord,
};
use runtime_services::HostOptions;
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::sample;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::stage::{Stage, TENANTS, Tenants};
use crate::surface::{Surface, planted};

/// How many records are planted at once.
const TOGETHER: u64 = 100;

/// How often components are looked at.
pub(crate) static POLL: LazyLock<Span> = LazyLock::new(|| {
    let chosen = std::env::var("RATES_POLL").map(|seconds| seconds.parse().unwrap());
    Span::from_secs(chosen.unwrap_or(15))
});
/// Planted components were last recorded as seen in one of so many rounds, by turns.
const TURNS: u64 = 4;

pub(crate) struct Template {
    deployment: RuntimeDeployment,
    service: RuntimeService,
    result: HealthCheckResult,
}

impl Template {
    pub(crate) async fn grown() -> Self {
        let stage = Stage::open("memory").await;
        let surface = Surface::of(Arc::clone(&stage.clock));
        let services = stage.services(surface, HostOptions::default());
        let tenants = Tenants::admitted(&services).await;
        tenants.request(&services, 0).await;
        let stop = CancellationToken::new();
        let (_, template) = tokio::join!(services.run(stop.clone()), async {
            tenants.until_completed(&services, 0).await;
            let deployment = tenants.deployment(&services, 0).await;
            let (scope, id) = (sample::scope(0), ServiceId::of(deployment.environment_id(), &module(0)));
            let service = loop {
                match services.inventory().service(&scope, id).await {
                    Ok(service) if service.status() == RuntimeStatus::Running => break service,
                    _ => tokio::task::yield_now().await,
                }
            };
            let result = services.health().evaluate(&scope, id).await.unwrap().unwrap();
            stop.cancel();
            Self { deployment, service, result }
        });
        template
    }

    /// The planted service with this number.
    pub(crate) fn service(&self, number: u64) -> (TenantScope, ServiceId) {
        let tenant = number % TENANTS;
        (sample::scope(tenant), ServiceId::of(sample::environment(tenant), &module(number)))
    }

    /// Plants so many components as they are after a look, each due to be looked at after a while, and gives the surface that shows them.
    pub(crate) async fn plant(&self, stage: &Stage, size: u64, due: impl Fn(u64) -> Span) -> Arc<Surface> {
        let now = stage.clock.now();
        for tenant in 0..TENANTS {
            let scope = sample::scope(tenant);
            let store = stage.store.for_tenant(&scope);
            let records = stage.records.health_results.as_ref().unwrap().tenant_health_results(&scope);
            let own: Vec<u64> = (tenant..size).step_by(usize::try_from(TENANTS).unwrap()).collect();
            for some in own.chunks(usize::try_from(TOGETHER).unwrap()) {
                let (mut writes, mut results) = (Vec::new(), Vec::new());
                for number in some {
                    // In one of four rounds it is a minute ago.
                    let age = Span::from_millis(POLL.as_millis() * (number / TENANTS % TURNS));
                    let last_seen = now - age.to_std();
                    let (own, result) = self.copies(*number, last_seen, now, due(*number).after(now));
                    writes.extend(own);
                    results.push(result);
                }
                records.append(&results).await.unwrap();
                store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
            }
        }
        let surface = Surface::of(Arc::clone(&stage.clock));
        surface.is_planted.store(true, Ordering::Release);
        surface
    }

    fn copies(
        &self,
        number: u64,
        last_seen: Timestamp,
        now: Timestamp,
        due: Timestamp,
    ) -> ([AggregateWrite; 3], HealthRecord) {
        let stamp = |at: Timestamp| serde_json::to_value(at).unwrap();
        let evaluated = now - Span::from_millis(1).to_std();
        let service = stamped(self.copy(&self.service, number), "observed_at", &stamp(last_seen));
        let mut result = self.copy(&self.result, number);
        let before = evaluated - POLL.to_std();
        for (name, at) in [("evaluated_at", evaluated), ("end", evaluated), ("start", before)] {
            result = stamped(result, name, &stamp(at));
        }
        let deployment = self.copy(&self.deployment, number);
        let schema = HealthCheckResult::SCHEMA;
        let record = HealthRecord {
            result: HealthCheckResult::from_record(schema, serde_json::from_value(result.clone()).unwrap())
                .unwrap(),
            revision: Some(RevisionId::new(module(number), planted(number))),
        };
        let writes = [
            write::<RuntimeDeployment>(deployment, None),
            write::<RuntimeService>(service, Some(due)),
            write::<HealthCheckResult>(result, None),
        ];
        (writes, record)
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
            .replace(&self.result.health_check_result_id().to_string(), &result(number).to_string())
            .replace("component-0", &format!("component-{number}"));
        serde_json::from_str(&renamed).unwrap()
    }
}

pub(crate) fn module(number: u64) -> Name {
    Name::new(&format!("component-{number}")).unwrap()
}

fn result(number: u64) -> HealthCheckResultId {
    HealthCheckResultId::from_uuid(Uuid::from_u128((0xe << 64) | u128::from(number)))
}

/// The same with another time by this name.
fn stamped(value: serde_json::Value, called: &str, at: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => {
            let members = members.into_iter().map(|(name, member)| {
                let member = if name == called { at.clone() } else { stamped(member, called, at) };
                (name, member)
            });
            serde_json::Value::Object(members.collect())
        }
        serde_json::Value::Array(items) => items.into_iter().map(|item| stamped(item, called, at)).collect(),
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
        trace_parent: None,
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
