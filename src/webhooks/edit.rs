//! Adding, changing and deleting webhooks, and giving them another secret.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::draft::{Draft, Patch};
use super::rows::WebhookRow;
use super::seal::Sealer;
use super::secret::Secret;
use super::service::{Webhooks, known, versioned, view};
use super::store;
use super::view::{Created, Versioned, WebhookWithSecret};
use crate::clock::{micros, now_micros};
use crate::connections::Actor;
use crate::connections::action::Action;
use crate::connections::audit::{self, Event};
use crate::connections::idempotency::IdempotencyKey;
use crate::connections::if_match::IfMatch;
use crate::connections::service::to_the_end;
use crate::connections::wiped::Wiped;
use crate::db::DbConnection;
use crate::input::InputCode;
use crate::outbound::error::ErrorKind;
use crate::problem::{Code, FieldProblem, Problem};
use crate::vault::{Vault, VaultError};

/// How long a secret signs beside the one that has replaced it.
const BOTH_SIGN: Duration = Duration::from_secs(24 * 3_600);

impl Webhooks {
    /// Adds a webhook. Only here, and when it gets another one, its secret is shown.
    ///
    /// # Errors
    /// Wrong fields, an address that may not be called, too many webhooks, or what an earlier request with the same key
    /// stands against.
    pub async fn create(&self, actor: &Actor, body: &Wiped, key: Option<String>) -> Result<Created, Problem> {
        let draft = Draft::read(body)?;
        self.demand_callable(&draft.url).await?;
        let key = key.map(|key| IdempotencyKey::new(&self.inner.vault, &key, body));
        let (id, secret, now) = (Uuid::now_v7(), Secret::random().map_err(Problem::internal)?, now_micros());
        let sealer = Sealer::new(&self.inner.vault, actor.organisation.as_str(), id);
        let row = WebhookRow {
            id: id.to_string(),
            organisation_id: actor.organisation.as_str().to_owned(),
            url_sealed: sealer.seal_url(&draft.url).map_err(Problem::internal)?,
            secret_sealed: sealer.seal_secret(&secret).map_err(Problem::internal)?,
            former_secret_sealed: None,
            former_secret_until: None,
            events: draft.wanted.stored(),
            description: draft.description,
            active: draft.active,
            paused_reason: None,
            version: 1,
            created_at: now,
            updated_at: now,
            created_by: actor.subject.clone(),
            progress: 0,
            failures: 0,
            rest_until: 0,
            retry_at: None,
            served_at: 0,
            lease_until: None,
            lease_owner: None,
        };
        let (vault, owner) = (Arc::clone(&self.inner.vault), actor.clone());
        let most = self.inner.options.max_per_organisation;
        // It takes one transaction: of two requests with the same key, the second finds what the first has made.
        let save = move |db: &mut DbConnection| {
            let earlier =
                key.as_ref().map(|key| key.begin(db, &vault, &owner.organisation, now)).transpose()?.flatten();
            if let Some(earlier) = earlier {
                return shown_again(&vault, &known(db, &owner.organisation, earlier)?);
            }
            let used = store::count(db, &owner.organisation)?;
            if used >= most {
                return Err(limit_reached(used, most));
            }
            // It is notified of what happens from now on.
            let row = WebhookRow { progress: store::last_sequence(db, &owner.organisation)?, ..row };
            store::insert(db, &row)?;
            note(db, &owner, Action::WebhookCreated, &row, json!({ "events": draft.wanted.shown() }), now)?;
            if let Some(key) = key {
                key.keep(db, &owner.organisation, id, now)?;
            }
            let webhook = WebhookWithSecret::new(view(&vault, &row), secret.text());
            Ok(Created { webhook, versioned: versioned(&vault, &row), replayed: false })
        };
        let (service, organisation) = (self.clone(), actor.organisation.as_str().to_owned());
        to_the_end(async move { service.inner.db.write(organisation, now, save).await }).await
    }

    /// Changes a webhook, or turns it on or off.
    ///
    /// # Errors
    /// Unknown to this organisation, wrong fields, an address that may not be called, or a version that is not the current
    /// one.
    pub async fn change(
        &self,
        actor: &Actor,
        id: Uuid,
        body: &Value,
        if_match: Option<IfMatch>,
    ) -> Result<Versioned, Problem> {
        // Before anything is said of the body: what is not there has no fields.
        self.get(&actor.organisation, id).await?;
        let patch = Patch::read(body)?;
        if let Some(url) = &patch.url {
            self.demand_callable(url).await?;
        }
        let (vault, owner, now) = (Arc::clone(&self.inner.vault), actor.clone(), now_micros());
        let save = move |db: &mut DbConnection| {
            let before = known(db, &owner.organisation, id)?;
            demand_version(if_match.as_ref(), &before)?;
            let (row, fields) = changed(db, &vault, &owner, before, patch)?;
            if fields.is_empty() {
                return Ok(versioned(&vault, &row));
            }
            let row = WebhookRow { version: row.version + 1, updated_at: now, ..row };
            store::change(db, &row)?;
            note(db, &owner, Action::WebhookChanged, &row, json!({ "fields": fields }), now)?;
            Ok(versioned(&vault, &row))
        };
        let (service, organisation) = (self.clone(), actor.organisation.as_str().to_owned());
        let outcome = to_the_end(async move {
            let outcome = service.inner.db.write_erasing(organisation, now, save).await;
            service.inner.db.finish_scrub().await;
            outcome
        });
        outcome.await
    }

    /// Deletes a webhook and destroys its secrets.
    ///
    /// # Errors
    /// Unknown to this organisation, or a version that is not the current one.
    pub async fn delete(&self, actor: &Actor, id: Uuid, if_match: Option<IfMatch>) -> Result<(), Problem> {
        let (owner, now) = (actor.clone(), now_micros());
        let erase = move |db: &mut DbConnection| -> Result<(), Problem> {
            let row = known(db, &owner.organisation, id)?;
            demand_version(if_match.as_ref(), &row)?;
            store::delete(db, &row)?;
            note(db, &owner, Action::WebhookDeleted, &row, json!({}), now)
        };
        let (service, organisation) = (self.clone(), actor.organisation.as_str().to_owned());
        to_the_end(async move {
            service.inner.db.write_erasing(organisation, now, erase).await?;
            service.inner.db.finish_scrub().await;
            Ok(())
        })
        .await
    }

    /// Gives a webhook another secret. The one before signs beside it for a day.
    ///
    /// # Errors
    /// Unknown to this organisation.
    pub async fn rotate_secret(&self, actor: &Actor, id: Uuid) -> Result<WebhookWithSecret, Problem> {
        let (vault, owner, now) = (Arc::clone(&self.inner.vault), actor.clone(), now_micros());
        let secret = Secret::random().map_err(Problem::internal)?;
        let save = move |db: &mut DbConnection| {
            let before = known(db, &owner.organisation, id)?;
            let sealer = Sealer::of(&vault, &before);
            // One that cannot be read any more signs nothing.
            let former = sealer.open_secret(&before.secret_sealed).ok();
            let former = former.map(|former| sealer.seal_former(&former)).transpose().map_err(Problem::internal)?;
            let row = WebhookRow {
                secret_sealed: sealer.seal_secret(&secret).map_err(Problem::internal)?,
                former_secret_until: former.as_ref().map(|_| now + micros(BOTH_SIGN)),
                former_secret_sealed: former,
                version: before.version + 1,
                updated_at: now,
                ..before.clone()
            };
            store::change(db, &row)?;
            note(db, &owner, Action::WebhookSecretRotated, &row, json!({}), now)?;
            Ok::<_, Problem>(WebhookWithSecret::new(view(&vault, &row), secret.text()))
        };
        let (service, organisation) = (self.clone(), actor.organisation.as_str().to_owned());
        to_the_end(async move {
            let outcome = service.inner.db.write_erasing(organisation, now, save).await;
            service.inner.db.finish_scrub().await;
            outcome
        })
        .await
    }

    /// Refuses an address that may not be called. One whose name does not resolve yet is taken: the receiver may come
    /// later, and every call is checked again.
    async fn demand_callable(&self, url: &Url) -> Result<(), Problem> {
        let Err(error) = self.inner.transport.check(url).await else { return Ok(()) };
        if error.kind != ErrorKind::EgressBlocked && url.scheme() == "https" {
            return Ok(());
        }
        let detail = "This address is not one this service may call: only public hosts over https, unless the operator \
                      allows more.";
        let mut problem = Problem::new(Code::EgressBlocked, detail)
            .hint("Use a public https address, or ask the operator of this service to allow this one.");
        problem.errors = vec![FieldProblem::new("/url", InputCode::InvalidUrl, detail)];
        Err(problem)
    }
}

/// The row as a patch makes it, and the fields that change by that.
fn changed(
    db: &mut DbConnection,
    vault: &Vault,
    actor: &Actor,
    mut row: WebhookRow,
    patch: Patch,
) -> Result<(WebhookRow, Vec<&'static str>), Problem> {
    let mut fields = Vec::new();
    if let Some(url) = patch.url
        && Sealer::of(vault, &row).open_url(&row.url_sealed).ok().as_ref() != Some(&url)
    {
        row.url_sealed = Sealer::of(vault, &row).seal_url(&url).map_err(Problem::internal)?;
        // What is known of the old receiver says nothing of a new one.
        (row.failures, row.rest_until) = (0, 0);
        fields.push("url");
    }
    if let Some(wanted) = patch.wanted.map(|wanted| wanted.stored()).filter(|wanted| *wanted != row.events) {
        row.events = wanted;
        fields.push("events");
    }
    if let Some(description) = patch.description.filter(|description| *description != row.description) {
        row.description = description;
        fields.push("description");
    }
    if let Some(active) = patch.active.filter(|active| *active != row.active) {
        // What happened while it was off is in the feed.
        store::forget_retries(db, &row)?;
        row.active = active;
        row.progress = store::last_sequence(db, &actor.organisation)?;
        (row.failures, row.rest_until, row.retry_at) = (0, 0, None);
        row.paused_reason = None;
        fields.push("active");
    } else if patch.active == Some(false) && row.paused_reason.take().is_some() {
        fields.push("paused_reason");
    }
    Ok((row, fields))
}

/// An earlier request's webhook, as that request was answered.
fn shown_again(vault: &Vault, row: &WebhookRow) -> Result<Created, Problem> {
    let secret = Sealer::of(vault, row).open_secret(&row.secret_sealed).map_err(|error| unreadable(&error))?;
    let webhook = WebhookWithSecret::new(view(vault, row), secret.text());
    Ok(Created { webhook, versioned: versioned(vault, row), replayed: true })
}

fn note(
    db: &mut DbConnection,
    actor: &Actor,
    action: Action,
    row: &WebhookRow,
    mut detail: Value,
    now: i64,
) -> Result<(), Problem> {
    if let Some(members) = detail.as_object_mut() {
        members.insert("webhook_id".to_owned(), row.id.clone().into());
    }
    let event = Event { action, outcome: "ok".to_owned(), connection: None, detail };
    Ok(audit::append(db, actor, &event, now)?)
}

fn demand_version(if_match: Option<&IfMatch>, row: &WebhookRow) -> Result<(), Problem> {
    if if_match.is_some_and(|if_match| !if_match.allows(row.version, row.updated_at)) {
        return Err(Problem::new(Code::VersionConflict, "The webhook was changed in the meantime.")
            .hint("Read it again and repeat the change."));
    }
    Ok(())
}

pub(super) fn unreadable(_: &VaultError) -> Problem {
    Problem::new(Code::CredentialsUnreadable, "The stored address or secret of the webhook cannot be read.")
        .hint("Change its url and rotate its secret, or give the service its old key back.")
}

/// The organisation has as many webhooks as it may.
pub fn limit_reached(used: u32, limit: u32) -> Problem {
    Problem::new(Code::WebhookLimitReached, format!("The organisation has {used} of at most {limit} webhooks."))
        .hint("Delete a webhook that is no longer needed.")
        .with("limit", limit)
        .with("used", used)
}
