//! From the claims of a token whose signature is good to what it stands for.

use serde::Deserialize;
use serde_json::Value;

use super::{AuthError, Scope, Scopes};
use crate::tenancy::{OrgId, Plan};

/// Who asks where the issuer does not say.
const NOBODY: &str = "unknown";

/// The longest `sub` that is kept, in characters.
pub const MAX_SUBJECT: usize = 255;

/// A token that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who asks: a user, or an internal service.
    pub subject: String,
    /// For whom. `None` only for an internal service, which names the organisation on each call.
    pub organisation: Option<OrgId>,
    /// What the organisation has bought, where the token says. Always `None` for an internal service.
    pub plan: Option<Plan>,
    /// What it allows.
    pub scopes: Scopes,
}

/// The claims this service looks at itself, of whatever type they are; `nbf`, `iss` and `aud` are checked with the
/// signature.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    org: Value,
    #[serde(default)]
    plan: Value,
    #[serde(default)]
    scope: Value,
    #[serde(default)]
    exp: Value,
}

/// A claim that is text, if it is there.
fn text(claim: Value, name: &'static str) -> Result<Option<String>, AuthError> {
    match claim {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(AuthError::ClaimType(name)),
    }
}

impl Claims {
    /// When the token ends, in seconds since 1970. Some issuers write fractions.
    pub(super) fn expires_at(&self) -> Result<u64, AuthError> {
        let exp = match &self.exp {
            Value::Null => return Err(AuthError::NoExpiry),
            Value::Number(exp) => exp,
            _ => return Err(AuthError::ClaimType("exp")),
        };
        let rounded = || exp.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64);
        exp.as_u64().or_else(rounded).ok_or(AuthError::NoExpiry)
    }

    /// What the claims stand for together.
    pub(super) fn into_token(self) -> Result<Token, AuthError> {
        let scopes = Scopes::from_claim(&text(self.scope, "scope")?.unwrap_or_default());
        let subject = subject(text(self.sub, "sub")?)?;
        let plan = text(self.plan, "plan")?;
        let Some(organisation) = text(self.org, "org")? else {
            let internal = scopes.has(Scope::OrgAny);
            let token = Token { subject, organisation: None, plan: None, scopes };
            return if internal { Ok(token) } else { Err(AuthError::NoOrganisation) };
        };
        if scopes.has(Scope::OrgAny) {
            return Err(AuthError::TwoOrganisations);
        }
        let organisation = organisation.parse().map_err(|_| AuthError::BadOrganisation)?;
        let plan = plan.map(|plan| plan.parse()).transpose().map_err(|_| AuthError::UnknownPlan)?;
        Ok(Token { subject, organisation: Some(organisation), plan, scopes })
    }
}

fn subject(claim: Option<String>) -> Result<String, AuthError> {
    let subject = claim.map(|subject| subject.trim().to_owned()).filter(|subject| !subject.is_empty());
    match subject {
        Some(subject) if subject.chars().any(char::is_control) => Err(AuthError::BadSubject),
        Some(subject) if subject.chars().count() > MAX_SUBJECT => Err(AuthError::BadSubject),
        Some(subject) => Ok(subject),
        None => Ok(NOBODY.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn token(claims: Value) -> Result<Token, AuthError> {
        serde_json::from_value::<Claims>(claims).map_err(|_| AuthError::Malformed)?.into_token()
    }

    #[test]
    fn a_users_token_names_its_organisation() {
        let token =
            token(json!({"sub": "user-1", "org": "org-1", "plan": "pro_plus", "scope": "stats:read", "exp": 1}))
                .expect("a token");
        assert_eq!(token.subject, "user-1");
        assert_eq!(token.organisation.expect("an organisation").as_str(), "org-1");
        assert_eq!(token.plan, Some(Plan::ProPlus));
        assert!(token.scopes.has(Scope::StatsRead) && !token.scopes.has(Scope::ConnectionsRead));
    }

    #[test]
    fn a_missing_plan_and_subject_stay_unknown_but_an_unknown_plan_is_refused() {
        let claims = |plan: Value| token(json!({"org": "org-1", "plan": plan, "exp": 1}));
        let known = claims(Value::Null).expect("a token");
        assert_eq!((known.plan, known.subject.as_str(), known.scopes), (None, NOBODY, Scopes::default()));
        assert_eq!(claims(json!("gold")), Err(AuthError::UnknownPlan));
        assert_eq!(claims(json!("")), Err(AuthError::UnknownPlan));
        assert_eq!(claims(json!(3)), Err(AuthError::ClaimType("plan")));
    }

    #[test]
    fn a_token_has_an_organisation_or_the_right_to_name_one() {
        let internal = token(json!({"sub": "jobs", "scope": "org:any stats:read", "plan": "pro", "exp": 1}));
        let internal = internal.expect("a token");
        assert_eq!((internal.organisation, internal.plan), (None, None));
        for (claims, error) in [
            (json!({"scope": "stats:read", "exp": 1}), AuthError::NoOrganisation),
            (json!({"org": null, "scope": "stats:read", "exp": 1}), AuthError::NoOrganisation),
            (json!({"org": "org-1", "scope": "org:any", "exp": 1}), AuthError::TwoOrganisations),
            (json!({"org": "", "scope": "org:any", "exp": 1}), AuthError::TwoOrganisations),
            (json!({"org": "", "scope": "stats:read", "exp": 1}), AuthError::BadOrganisation),
            (json!({"org": "  ", "exp": 1}), AuthError::BadOrganisation),
            (json!({"org": "a\nb", "exp": 1}), AuthError::BadOrganisation),
            (json!({"org": 7, "exp": 1}), AuthError::ClaimType("org")),
            (json!({"org": "org-1", "scope": ["stats:read"], "exp": 1}), AuthError::ClaimType("scope")),
            (json!({"org": "org-1", "sub": {}, "exp": 1}), AuthError::ClaimType("sub")),
        ] {
            assert_eq!(token(claims.clone()), Err(error), "{claims}");
        }
    }

    #[test]
    fn an_absurd_subject_is_refused() {
        for subject in ["a\u{0}b", &"x".repeat(256)] {
            assert_eq!(token(json!({"sub": subject, "org": "org-1", "exp": 1})), Err(AuthError::BadSubject));
        }
    }

    #[test]
    fn the_end_is_read_as_whole_seconds() {
        let end = |exp: Value| {
            serde_json::from_value::<Claims>(json!({"exp": exp})).map_err(|_| AuthError::Malformed)?.expires_at()
        };
        assert_eq!(end(json!(1_700_000_000)), Ok(1_700_000_000));
        assert_eq!(end(json!(1_700_000_000.9)), Ok(1_700_000_000));
        assert_eq!(end(json!(-1)), Err(AuthError::NoExpiry));
        assert_eq!(end(json!("1700000000")), Err(AuthError::ClaimType("exp")));
        assert_eq!(end(Value::Null), Err(AuthError::NoExpiry));
    }
}
