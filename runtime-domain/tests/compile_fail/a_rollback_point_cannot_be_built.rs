//! Shows DEP-2.
//! Only a Completed deployment can be gone back to.

use runtime_domain::deployment::{Release, RollbackPoint};
use runtime_domain::id::DeploymentId;

fn forge(deployment: DeploymentId, release: Release, real: RollbackPoint) -> RollbackPoint {
    RollbackPoint { deployment, release, ..real }
}

fn main() {}
