//! What the surface says of itself: how far each aspect is kept here, and what is used.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use async_trait::async_trait;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::ComponentKey;
use runtime_ports::PortResult;
use runtime_ports::isolation::{Enforcement, IsolationAspect, ResourceUse, WorkloadIsolation};

use super::{Compute, Isolation, Users};
use crate::os;
use crate::state::{blocking, failed};
use crate::surface::ProcessSurface;

const GROUPS_OBSERVED: &str =
    "what the system tells of each process group; charged at admission, and not limited";

impl Isolation {
    fn enforcement(&self) -> BTreeMap<IsolationAspect, Enforcement> {
        let of = |aspect| {
            match aspect {
            IsolationAspect::Variables => Enforcement::Enforced {
                by: "an environment that is cleared before a workload is started".to_owned(),
            },
            IsolationAspect::Files | IsolationAspect::Processes => self.users.enforcement(aspect),
            IsolationAspect::Ports => match &self.ports {
                Some((_, each)) => Enforcement::Partial {
                    by: format!("{each} ports are given to each tenant and environment; a workload may listen on others"),
                },
                None => Enforcement::Absent { why: "no ports are set aside: `IsolationOptions::ports_each`".to_owned() },
            },
            IsolationAspect::Network => Enforcement::Absent {
                why: "workloads share the machine's network: use a surface that has network policies".to_owned(),
            },
            IsolationAspect::Memory if os::LIMITS_MEMORY => Enforcement::Partial {
                by: "RLIMIT_DATA, where the component says what it needs; each process by itself, not their sum".to_owned(),
            },
            IsolationAspect::Memory => Enforcement::Observed { by: GROUPS_OBSERVED.to_owned() },
            IsolationAspect::Cpu => match &self.compute {
                Compute::Limited(groups) => Enforcement::Partial {
                    by: format!("a control group's {} for each instance whose component says what it needs; not for jobs", groups.limit()),
                },
                Compute::Unlimited { why } => Enforcement::Observed { by: format!("{GROUPS_OBSERVED}: {why}") },
            },
            IsolationAspect::Storage => Enforcement::Observed {
                by: "the size of the tenant's folders; charged at admission, and not limited".to_owned(),
            },
            IsolationAspect::Throughput => Enforcement::Observed {
                by: "the requests that the proxies see; charged at admission, and not limited".to_owned(),
            },
        }
        };
        IsolationAspect::ALL.into_iter().map(|aspect| (aspect, of(aspect))).collect()
    }
}

impl Users {
    fn enforcement(&self, aspect: IsolationAspect) -> Enforcement {
        match (self, aspect) {
            (Self::Hosts { why }, _) => Enforcement::Absent { why: why.clone() },
            (Self::Own(users), IsolationAspect::Files) => Enforcement::Partial {
                by: format!(
                    "users from {}, and folders that their group alone may pass; images can be read by all",
                    users.start()
                ),
            },
            (Self::Own(users), _) => Enforcement::Partial {
                by: format!("users from {}: another's processes can be seen, and not touched", users.start()),
            },
        }
    }
}

#[async_trait]
impl WorkloadIsolation for ProcessSurface {
    fn enforcement(&self) -> BTreeMap<IsolationAspect, Enforcement> {
        self.shared.isolation.enforcement()
    }

    async fn usage(&self, tenant: TenantId, environment: EnvironmentId) -> PortResult<ResourceUse> {
        const OPERATION: &str = "isolation.usage";
        let there = |key: &ComponentKey| key.tenant == tenant && key.environment == environment;
        let mut folders = Vec::new();
        let mut processes = Vec::new();
        for component in self.components_where(there) {
            folders.push(component.folder.path().to_path_buf());
            processes.extend(component.instances().values().filter_map(|instance| instance.process()));
        }
        let observed_at = self.shared.options.clock.now();
        let (used, stored) = blocking(move || {
            let stored =
                folders.iter().try_fold(0_u64, |sum, folder| Ok::<_, io::Error>(sum + size_of(folder)?));
            Ok((os::usage(&processes)?, stored?))
        })
        .await
        .map_err(|error| failed(OPERATION, "what is used could not be seen", error))?;
        let counted = used.as_ref().and_then(|used| u64::try_from(used.len()).ok());
        let sum = used.map(|used| {
            used.values().fold((0_u64, 0_u64), |(memory, cpu), one| {
                let millis = u64::try_from(one.cpu.as_millis()).unwrap_or(u64::MAX);
                (memory.saturating_add(one.memory), cpu.saturating_add(millis))
            })
        });
        Ok(ResourceUse {
            observed_at,
            processes: counted,
            memory_bytes: sum.map(|sum| sum.0),
            cpu_millis: sum.map(|sum| sum.1),
            storage_bytes: Some(stored),
        })
    }
}

/// How many bytes the files below a folder have; links are not followed, and what goes meanwhile counts for nothing.
fn size_of(path: &Path) -> io::Result<u64> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    crate::state::entries(path)?.iter().try_fold(0_u64, |sum, entry| Ok(sum.saturating_add(size_of(entry)?)))
}
