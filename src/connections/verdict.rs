//! What a verification says to the caller, and to the audit trail.

use serde_json::json;
use uuid::Uuid;

use super::action::Action;
use super::audit::Event;
use crate::platforms::Pair;
use crate::platforms::verification::{Verification, VerificationStatus};
use crate::problem::{Code, FieldProblem, Problem};

/// That posted credentials were tried.
pub(super) fn tried(pair: Pair, verification: &Verification, connection: Option<Uuid>) -> Event {
    Event {
        action: Action::CredentialsVerified,
        outcome: outcome_of(verification),
        connection,
        detail: json!({ "platform": pair.platform(), "connection_type": pair.connection_type() }),
    }
}

/// That a saved connection was verified.
pub(super) fn verified(verification: &Verification, connection: Uuid, detail: serde_json::Value) -> Event {
    let outcome = outcome_of(verification);
    Event { action: Action::ConnectionVerified, outcome, connection: Some(connection), detail }
}

/// Wrong credentials and an unreachable tracker are told apart: nothing is saved either way.
pub fn must_be_ok(verification: &Verification) -> Result<(), Problem> {
    let code = match verification.status {
        VerificationStatus::Ok => return Ok(()),
        VerificationStatus::Failed => Code::VerificationFailed,
        VerificationStatus::Inconclusive => Code::VerificationInconclusive,
    };
    let mut problem = Problem::new(code, "The connection could not be verified.").with("verification", verification);
    if let Some(failure) = &verification.failure {
        problem.detail = failure.detail.clone();
        problem.hint = Some(failure.hint.clone());
        if let Some(pointer) = &failure.pointer {
            problem.errors = vec![FieldProblem::new(pointer.clone(), failure.code, failure.detail.clone())];
        }
    }
    Err(problem)
}

fn outcome_of(verification: &Verification) -> String {
    verification.failure.as_ref().map_or("ok", |failure| failure.code.key()).to_owned()
}
