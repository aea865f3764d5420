//! The embedded compute surface of Factory Runtime: operating-system processes behind a traffic-splitting reverse proxy.
//!
//! [`ProcessSurface`] implements `ComputeSurface`, `JobRunner`, `EndpointHandover`, `WorkloadIsolation`, `MetricSource` from what its own proxies see, and
//! `ScalingSignals` from these and from what the system tells of its processes. Opened with the kind `Functions`
//! ([`ProcessSurfaceOptions::kind`]) it is event-driven: a component may run no replica, and a request that comes then waits, within bounds,
//! until one was started for it.
//!
//! # What runs
//! Each instance is a process of its own group, in the folder of its unpacked image, without input, with its output in a rotated log. Its
//! environment holds a minimal `PATH`, the image's variables, its configuration's, the component's, and the runtime's own, each above those
//! before it and nothing of the host's:
//!
//! | variable | value |
//! |---|---|
//! | `PORT` | the loopback port to listen on; another one at each start |
//! | `FACTORY_TENANT`, `FACTORY_ENVIRONMENT`, `FACTORY_MODULE`, `FACTORY_REVISION` | what it belongs to |
//! | `FACTORY_CONFIGURATION`, `FACTORY_CONFIGURATION_CHECKSUM`, `FACTORY_CONFIGURATION_VERSION` | where its configuration has one: the JSON file, and which version it was started with |
//! | `FACTORY_STORAGE` | a folder of its component's own, that it may write to; it goes with the component |
//! | `FACTORY_INSTANCE`, `FACTORY_START` | its name, and how often it was started |
//! | `FACTORY_SECRETS` | the folder of its secrets' files, where it has some |
//! | `FACTORY_JOB` | for a job, its effect; a job has no `PORT`, module, revision or instance |
//! | `FACTORY_SURFACE` | marks the processes of this surface, so that no host loses one |
//!
//! # Guarantees
//! - A wish is on disk before a process is spawned for it: a host that is killed at any point leaves nothing that the next one does
//!   not find. Workloads outlive the host and are adopted by the next.
//! - A process is signalled only while it is certain who it is: its identifier, its start time and the boot must agree.
//! - Effects are fenced by component, and a repeated effect that others followed is recognised and does nothing.
//! - What an instance is given beside its image is complete before it is started, and replaced as a whole while it runs: no reader of
//!   `FACTORY_CONFIGURATION` finds half of it.
//! - An instance is told to stop only after it left the routes and its last request left it, or after its grace.
//! - Any 100 requests in a row that meet the same weights are divided exactly by them.
//!
//! # Assumptions
//! One host at a time has a root folder open; a lock file keeps others out. Workloads and jobs run as the host's user, and
//! then this surface separates failures, not adversaries; where the host is root they run as users of their own if some are set aside
//! ([`IsolationOptions`]). What is kept and what is not says `WorkloadIsolation::enforcement`. What a
//! workload prints is in its log, whose end is told where it fails, unless it was given secrets.
//!
//! # Platforms
//! Made for Linux. On other Unix systems processes cannot be told apart safely after a restart of the host, so they are neither adopted
//! nor signalled there: stop workloads before the host ends. Nor is there told what they use of processors and memory.
//!
//! # Where to find what
//!
//! | room | what is in it |
//! |---|---|
//! | `surface` | the ports' methods, opening, closing, tearing down |
//! | `component` | one component: effects, endpoint, observation |
//! | `supervisor`, `probe`, `instance` | the life of one instance |
//! | `delivery` | what an instance is given beside its image, and what it says that it runs with |
//! | `proxy` | the data plane: routes, forwarding, connections, metrics, arrivals |
//! | `handover` | an endpoint that another component answers |
//! | `isolation` | what keeps tenants apart |
//! | `signals` | what services are scaled by |
//! | `adoption` | finding what an earlier host left |
//! | `state`, `bundle`, `logs` | what is on disk |
//! | `job` | jobs |
//! | `os`, `spawn`, `ports` | the operating system |

mod adoption;
mod bundle;
mod component;
mod delivery;
mod handover;
mod instance;
mod isolation;
mod job;
mod logs;
mod options;
mod os;
mod ports;
mod probe;
mod proxy;
mod signals;
mod spawn;
mod state;
mod supervisor;
mod surface;

pub use isolation::IsolationOptions;
pub use options::ProcessSurfaceOptions;
pub use surface::ProcessSurface;

#[cfg(test)]
mod tests {
    //! What the unit tests share.

    use runtime_domain::component::ComponentSpec;

    /// A component as a manifest would write it.
    pub(crate) fn component(module: &str) -> ComponentSpec {
        serde_json::from_value(serde_json::json!({
            "module": module,
            "component_type": "microservice",
            "version": "1.0.0",
            "tuple": { "image": format!("shop/{module}@sha256:{}", "a".repeat(64)) },
            "surface": "process",
            "replicas": 1,
        }))
        .expect("a component")
    }
}
