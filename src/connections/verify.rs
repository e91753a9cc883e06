//! Verifying credentials, posted or stored: what the tracker says of them, and what that says of a connection.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Actor;
use super::audit;
use super::draft::Draft;
use super::failures::Reservation;
use super::health::{Finding, Source};
use super::learning::{Lesson, Verified};
use super::readers;
use super::seal::Sealer;
use super::service::{Connections, Opened};
use super::store::Stored;
use super::verdict::{must_be_ok, tried, verified};
use crate::clock::now_micros;
use crate::outbound::CallScope;
use crate::platforms::verification::{self, Verification, VerificationStatus};
use crate::platforms::{self, Account, Pair, Platform};
use crate::problem::{Code, Problem};
use crate::tenancy::OrgId;

impl Connections {
    /// Verifies what was posted without saving anything.
    ///
    /// # Errors
    /// A body that cannot be a connection, or too many failures lately. What the tracker says is in the verification.
    pub async fn verify_draft(&self, actor: &Actor, body: &Value) -> Result<Verification, Problem> {
        let draft = Draft::read(body, false)?;
        let verification = self.verify_draft_as(actor, Uuid::now_v7(), &draft).await?;
        self.audit(actor, tried(draft.pair, &verification, None)).await?;
        Ok(verification)
    }

    /// Goes on only if what was posted is good. If not that is written down, with the connection it was meant for: keys
    /// can be guessed this way as well.
    ///
    /// # Errors
    /// What the tracker says, if it is not yes.
    pub(super) async fn demand_ok(
        &self,
        actor: &Actor,
        pair: Pair,
        verification: &Verification,
        connection: Option<Uuid>,
    ) -> Result<(), Problem> {
        let outcome = must_be_ok(verification);
        if outcome.is_err() {
            self.audit(actor, tried(pair, verification, connection)).await?;
        }
        outcome
    }

    pub(super) async fn verify_draft_as(
        &self,
        actor: &Actor,
        id: Uuid,
        draft: &Draft,
    ) -> Result<Verification, Problem> {
        let account = Account {
            connection: id,
            settings: draft.settings.clone(),
            credentials: draft.credentials.clone(),
            detected: verification::Detected::default(),
        };
        self.verify_account(&actor.organisation, draft.pair, account).await
    }

    pub(super) async fn verify_account(
        &self,
        organisation: &OrgId,
        pair: Pair,
        account: Account,
    ) -> Result<Verification, Problem> {
        let reservation = self.inner.failures.reserve(organisation, Uuid::now_v7()).await?;
        let platforms = self.platforms_for(organisation);
        let client = platforms::open(pair, account, &platforms, CallScope::verification()).map_err(Problem::from)?;
        Ok(readers::run(async move { reservation.verify(&client).await }).await)
    }

    /// Verifies a saved connection again, now.
    ///
    /// # Errors
    /// Unknown or deleted, or too many failures lately. What the tracker says is in the verification.
    pub async fn verify(&self, actor: &Actor, id: Uuid) -> Result<Verification, Problem> {
        let reservation = self.inner.failures.reserve(&actor.organisation, Uuid::now_v7()).await?;
        let stored = self.live(&actor.organisation, id).await?;
        let (verification, lesson) = self.verify_stored(stored, Some(reservation)).await?;
        let event = verified(&verification, id, json!({}));
        let (owner, now, learner) = (actor.clone(), now_micros(), self.learner());
        self.inner
            .db
            .write(actor.organisation.as_str().to_owned(), now, move |db| -> Result<(), Problem> {
                learner.learn(db, &lesson, now)?;
                Ok(audit::append(db, &owner, &event, now)?)
            })
            .await?;
        Ok(verification)
    }

    /// Verifies a stored connection, in a place where one was taken; what is to be written of it is sealed.
    pub(super) async fn verify_stored(
        &self,
        stored: Box<Stored>,
        reservation: Option<Reservation>,
    ) -> Result<(Verification, Lesson), Problem> {
        let about = About::of(&stored);
        let verification = match self.open(stored, CallScope::verification()) {
            Ok(Opened { client, .. }) => {
                let verifying = async move {
                    match reservation {
                        Some(reservation) => reservation.verify(&client).await,
                        None => platforms::verify(&client).await,
                    }
                };
                readers::run(verifying).await
            }
            Err(problem) if problem.code == Code::CredentialsUnreadable => Verification::unreadable(),
            Err(problem) => return Err(problem),
        };
        let lesson = self.lesson(about, &verification, Source::Verification)?;
        Ok((verification, lesson))
    }

    /// Checks a stored connection, behind everything that somebody waits for; nothing, if there was no turn for it.
    pub(super) async fn check_stored(&self, stored: Box<Stored>) -> Result<Option<(Verification, Lesson)>, Problem> {
        let about = About::of(&stored);
        let verification = match self.open(stored, CallScope::check()) {
            Ok(Opened { client, .. }) => {
                let checking = async move {
                    let verification = platforms::verify(&client).await;
                    let had_no_turn = verification.status != VerificationStatus::Ok && client.upstream().is_held_up();
                    (!had_no_turn).then_some(verification)
                };
                match readers::run(checking).await {
                    Some(verification) => verification,
                    None => return Ok(None),
                }
            }
            Err(problem) if problem.code == Code::CredentialsUnreadable => Verification::unreadable(),
            Err(problem) => return Err(problem),
        };
        let lesson = self.lesson(about, &verification, Source::Background)?;
        Ok(Some((verification, lesson)))
    }

    fn lesson(&self, about: About, verification: &Verification, source: Source) -> Result<Lesson, Problem> {
        let About { organisation, connection, version, platform } = about;
        let sealer = Sealer::new(&self.inner.vault, &organisation, connection, platform);
        let verified = Verified {
            sealed: sealer.seal_verification(verification).map_err(Problem::internal)?,
            is_conclusive: verification.status != VerificationStatus::Inconclusive,
            verification: verification.clone(),
        };
        let finding = Finding::of(verification);
        Ok(Lesson { organisation, connection, version, finding, source, verified: Some(verified) })
    }
}

/// Which connection a verification is of, once the row itself is taken up by it.
struct About {
    organisation: OrgId,
    connection: Uuid,
    version: i64,
    platform: Platform,
}

impl About {
    fn of(stored: &Stored) -> Self {
        Self {
            organisation: stored.organisation.clone(),
            connection: stored.id,
            version: stored.version,
            platform: stored.pair.platform(),
        }
    }
}
