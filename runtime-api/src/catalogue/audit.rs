//! Audits of the tenant's trail.

use runtime_ports::authenticator::Role;
use runtime_services::audit::Attestation;

use crate::call::{Call, Reply};
use crate::document::audit::{AuditReport, VerifyAudit};
use crate::operation::{Descriptor, Operation};
use crate::problem::{Problem, ProblemKind};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Descriptor::command(
            "AuditService",
            "VerifyAudit",
            "/runtime/audit/verify",
            Role::Administrator,
            "Reads the tenant's whole trail and judges whether it is as it was written. Nothing changes.",
        )
        .without_preview()
        .without_key()
        .performed_by(verify),
    ]
}

async fn verify(call: Call, asked: VerifyAudit) -> Result<Reply<AuditReport>, Problem> {
    let attested: Option<Attestation> =
        asked.attested.map(|text| text.parse()).transpose().map_err(|_| {
            Problem::new(ProblemKind::Unprocessable, "attested: this is not what an audit attested")
        })?;
    let report = call.services.audit().verify(&call.scope, attested.as_ref()).await?;
    Ok(Reply::of(AuditReport::of(&report)))
}
