//! Shows CFG-1, CFG-3.
//! Only a configuration proves that it is published, and that its number is used.

use runtime_domain::configuration::{PublishedConfiguration, UsedVersion};
use runtime_domain::id::TenantId;

fn forge(tenant: TenantId, real: PublishedConfiguration) -> PublishedConfiguration {
    PublishedConfiguration { tenant, ..real }
}

fn forge_number(tenant: TenantId, real: UsedVersion) -> UsedVersion {
    UsedVersion { tenant, ..real }
}

fn redirect(tenant: TenantId, published: &mut PublishedConfiguration, used: &mut UsedVersion) {
    published.tenant = tenant;
    used.tenant = tenant;
}

fn main() {}
