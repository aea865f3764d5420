//! The contract: the services and messages of `proto/`, as descriptors.

use prost_reflect::{DescriptorError, DescriptorPool, MethodDescriptor, ServiceDescriptor};
use runtime_api::Operation;
use runtime_api::catalogue::Catalogue;

use crate::watch::Watch;

/// The compiled contract with what it imports, for reflection and for clients that know it by descriptor.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/factory.runtime.v1.binpb"));

/// The contract's package.
pub const PACKAGE: &str = "factory.runtime.v1";

/// The contract does not fit the host: the crates were not built from one source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// The descriptors cannot be read.
    #[error("the descriptors of the contract cannot be read: build the crate anew")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An operation has no method.
    #[error(
        "the contract has no method for {operation}: use `runtime-grpc` and `runtime-api` of one version"
    )]
    Missing {
        /// The operation.
        operation: String,
    },
}

impl From<DescriptorError> for ContractError {
    fn from(error: DescriptorError) -> Self {
        Self::Unreadable(Box::new(error))
    }
}

/// The contract of a host.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    pool: DescriptorPool,
}

impl Contract {
    /// The contract, which has a method for everything in the catalogue.
    pub(crate) fn of(catalogue: &Catalogue) -> Result<Self, ContractError> {
        let contract = Self { pool: DescriptorPool::decode(FILE_DESCRIPTOR_SET)? };
        let operations = catalogue.operations().map(Operation::descriptor);
        let operations = operations.map(|descriptor| (descriptor.service, descriptor.name));
        let watches = Watch::ALL.into_iter().map(|watch| (watch.service(), watch.name()));
        for (service, name) in operations.chain(watches) {
            if contract.method(service, name).is_none() {
                return Err(ContractError::Missing { operation: format!("{service}.{name}") });
            }
        }
        Ok(contract)
    }

    /// Its services.
    pub(crate) fn services(&self) -> impl Iterator<Item = ServiceDescriptor> {
        self.pool.services().filter(|service| service.package_name() == PACKAGE)
    }

    /// The method of a service.
    pub(crate) fn method(&self, service: &str, name: &str) -> Option<MethodDescriptor> {
        let service = self.pool.get_service_by_name(&format!("{PACKAGE}.{service}"))?;
        service.methods().find(|method| method.name() == name)
    }
}
