//! The host's health as `grpc.health.v1` tells it: whether it can be sent requests. It tells nothing of a tenant, and needs no
//! credentials.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::stream::unfold;
use runtime_api::Api;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::options::GrpcOptions;

/// The health of a host, and of each of its services, which is the same.
#[derive(Debug)]
pub(crate) struct HostHealth {
    api: Api,
    names: BTreeSet<String>,
    period: Duration,
    watchers: Arc<Semaphore>,
}

impl HostHealth {
    pub(crate) fn new(api: Api, names: BTreeSet<String>, options: &GrpcOptions) -> Self {
        let watchers = Arc::new(Semaphore::new(options.health_watchers.min(Semaphore::MAX_PERMITS)));
        // An interval of nothing is none.
        let period = options.health_period.max(Duration::from_millis(1));
        Self { api, names, period, watchers }
    }

    /// Whether `service` is the host itself, or one of its services.
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.names.contains(service)
    }
}

async fn serving(api: &Api) -> ServingStatus {
    if api.services().readiness().await.is_ready() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// What a watcher sees.
struct Watch {
    api: Api,
    ticks: Interval,
    last: Option<ServingStatus>,
    /// Nothing is known of what the watcher named, and nothing will be.
    is_unknown: bool,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// The next status that is another one.
    async fn next(mut self) -> (ServingStatus, Self) {
        if self.is_unknown {
            if self.last.is_some() {
                std::future::pending::<()>().await;
            }
            self.last = Some(ServingStatus::ServiceUnknown);
            return (ServingStatus::ServiceUnknown, self);
        }
        loop {
            self.ticks.tick().await;
            let status = serving(&self.api).await;
            if self.last.replace(status) != Some(status) {
                return (status, self);
            }
        }
    }
}

#[tonic::async_trait]
impl Health for HostHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("the host has no such service: look for its name by reflection"));
        }
        Ok(Response::new(told(serving(&self.api).await)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let place = self.watchers.clone().try_acquire_owned();
        let place = place
            .map_err(|_| Status::resource_exhausted("as many as may watch already do: ask by `Check`"))?;
        let mut ticks = interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = Watch {
            api: self.api.clone(),
            ticks,
            last: None,
            is_unknown: !self.knows(&request.get_ref().service),
            _place: place,
        };
        let changes = unfold(watch, |watch| async move {
            let (status, watch) = watch.next().await;
            Some((Ok(told(status)), watch))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
