//! A host and its clients on one thread: what either of them keeps is counted to the byte, by the allocator.

use std::net::SocketAddr;
use std::sync::Arc;

use allocation_counter::AllocationInfo;
use factory_runtime_api_tests::{OneCaller, environments, everything, services};
use runtime_api::{Access, AdmissionOptions, Api};
use runtime_http::{HttpApi, HttpOptions, Server, ServerOptions};
use runtime_memory::MemoryStore;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A host on a store in memory, which works only while [`Here::run`] does.
pub(crate) struct Here {
    runtime: Runtime,
    pub(crate) address: SocketAddr,
    pub(crate) environments: Vec<String>,
}

impl Here {
    /// With as much as a test needs, and what it changes of that.
    pub(crate) fn start(
        change: impl FnOnce(&mut AdmissionOptions, &mut HttpOptions, &mut ServerOptions),
    ) -> Self {
        as_many_files_as_may_be();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (mut admission, mut http, mut bounds) =
            (everything(), HttpOptions::default(), ServerOptions::default());
        bounds.connections_of_one = bounds.connections;
        change(&mut admission, &mut http, &mut bounds);
        let (address, environments) = runtime.block_on(async {
            let services = services(Arc::new(MemoryStore::new()));
            let environments = environments(&services, 50).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let api = Api::new(services).admitting(&admission);
            let api = HttpApi::new(api, Access::Authenticated(Arc::new(OneCaller)), http);
            tokio::spawn(Server::new(listener, &api, bounds).unwrap().run(std::future::pending()));
            (address, environments)
        });
        Self { runtime, address, environments }
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// What is kept when the work is done that was not kept before it, and what was kept meanwhile.
    pub(crate) fn kept(&self, work: impl Future<Output = ()>) -> AllocationInfo {
        // Tells of this thread alone, and nothing here leaves it.
        let mut work = Some(work);
        allocation_counter::measure(|| {
            if let Some(work) = work.take() {
                self.run(work);
            }
        })
    }
}

/// A client and a host in one process need two for each connection.
fn as_many_files_as_may_be() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
