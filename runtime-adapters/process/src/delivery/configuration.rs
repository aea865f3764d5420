//! Configuration: a file, and variables where the component wants them.

use std::collections::BTreeMap;

use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::SecretBindingId;
use runtime_domain::surface::RevisionSpec;
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::delivery::{DeliveryFolder, Parcel};

/// The file's name within a delivery.
const FILE: &str = "configuration.json";

/// Adds a version to what an instance is given.
pub(super) fn add(
    parcel: &mut Parcel,
    operation: &'static str,
    spec: &RevisionSpec,
    configuration: &DeliveredConfiguration,
    folder: &DeliveryFolder,
    places: &BTreeMap<SecretBindingId, (&'static str, String)>,
) -> PortResult<()> {
    if spec.component.configuration.variables {
        let variables = configuration.variables().map_err(|error| {
            let message = format!("{} cannot be delivered: {error}", configuration.version());
            PortError::new(PortErrorKind::Invalid, operation, message)
        })?;
        parcel.variables.extend(variables.into_iter().map(|(name, text)| (name.into(), text)));
    }
    parcel.files.insert(FILE.to_owned(), configuration.document(places).into_bytes());
    parcel.own.extend([
        ("FACTORY_CONFIGURATION", folder.current(FILE).to_string_lossy().into_owned()),
        ("FACTORY_CONFIGURATION_CHECKSUM", configuration.checksum().to_string()),
        ("FACTORY_CONFIGURATION_VERSION", configuration.version().get().to_string()),
    ]);
    Ok(())
}
