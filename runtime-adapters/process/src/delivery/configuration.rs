//! Configuration: a file, and variables where the component wants them.

use runtime_domain::component::ConfigurationDelivery;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::delivery::{DeliveryFolder, Parcel};

/// The file's name within a delivery.
const FILE: &str = "configuration.json";

/// Adds a version to what an instance is given.
pub(super) fn add(
    parcel: &mut Parcel,
    operation: &'static str,
    declared: &ConfigurationDelivery,
    configuration: &DeliveredConfiguration,
    folder: &DeliveryFolder,
) -> PortResult<()> {
    if declared.variables {
        let variables = configuration.variables().map_err(|error| {
            let message = format!("{} cannot be delivered: {error}", configuration.version());
            PortError::new(PortErrorKind::Invalid, operation, message)
        })?;
        parcel.variables.extend(variables.into_iter().map(|(name, text)| (name.into(), text)));
    }
    parcel.files.insert(FILE.to_owned(), configuration.document().into_bytes());
    parcel.own.extend([
        ("FACTORY_CONFIGURATION", folder.current(FILE).to_string_lossy().into_owned()),
        ("FACTORY_CONFIGURATION_CHECKSUM", configuration.checksum().to_string()),
        ("FACTORY_CONFIGURATION_VERSION", configuration.version().get().to_string()),
    ]);
    Ok(())
}
