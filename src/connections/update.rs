//! Changing and deleting a connection.

use std::sync::Arc;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::action::Action;
use super::audit::{self, Event};
use super::draft::Patch;
use super::events::{self, EventType, Subject};
use super::expiry::Day;
use super::health::{Condition, Finding, Source};
use super::if_match::IfMatch;
use super::seal::Profile;
use super::service::{Connections, live, name_is_taken, to_the_end, unreadable};
use super::store::{self, Found, Sealed, Stored, verifications};
use super::{Actor, ConnectionView, SecretHint};
use crate::clock::now_micros;
use crate::db::DbConnection;
use crate::input::InputCode;
use crate::platforms::{self, Account, Pair, Settings, verification};
use crate::problem::{Code, FieldProblem, Problem};

impl Connections {
    /// Changes name, settings or secrets.
    ///
    /// # Errors
    /// A version that is not the current one, wrong fields, missing secrets, or what the tracker says of the new ones.
    pub async fn update(
        &self,
        actor: &Actor,
        id: Uuid,
        body: &Value,
        if_match: Option<&IfMatch>,
    ) -> Result<ConnectionView, Problem> {
        let stored = self.live(&actor.organisation, id).await?;
        if if_match.is_some_and(|if_match| !if_match.allows(stored.version, stored.updated_at)) {
            return Err(version_conflict());
        }
        let pair = stored.pair;
        let profile =
            stored.sealer(&self.inner.vault).open_profile(stored.sealed.settings.as_deref()).unwrap_or_default();
        let known: Vec<String> = profile.hints.keys().cloned().collect();
        let patch = Patch::read(body, pair, &profile.settings, &known)?;

        let settings = patch.settings.clone().unwrap_or_else(|| profile.settings.clone());
        let touches_secrets = !patch.credentials.is_empty() || !patch.removed.is_empty();
        let change = if settings == profile.settings && !touches_secrets {
            None
        } else {
            self.demand_secrets(pair, &profile, &settings, &patch)?;
            Some(self.verified_change(actor, &stored, profile, settings, &patch).await?)
        };
        let renamed = patch.name.filter(|name| *name != stored.name);
        // What was known of the old key says nothing of a new one.
        let expiry = patch.expiry.or(touches_secrets.then_some(None)).filter(|expiry| *expiry != stored.expiry);
        if change.is_none() && renamed.is_none() && expiry.is_none() {
            return Ok(stored.view(&self.inner.vault));
        }
        let edit = Edit { seen: stored.version, renamed, change, expiry };
        let (service, owner, if_match) = (self.clone(), actor.clone(), if_match.cloned());
        to_the_end(async move {
            let connection = service.save_change(&owner, id, edit, if_match).await?;
            service.announce_change(id, connection.version).await;
            service.inner.db.finish_scrub().await;
            Ok(connection)
        })
        .await
    }

    /// A stored key never goes to a host it was not saved for.
    fn demand_secrets(&self, pair: Pair, profile: &Profile, settings: &Settings, patch: &Patch) -> Result<(), Problem> {
        let gateways = &self.inner.platforms.gateways;
        if platforms::origin(pair, &profile.settings, gateways) == platforms::origin(pair, settings, gateways) {
            return Ok(());
        }
        let stays = |key: &&String| !patch.credentials.contains_key(*key) && !patch.removed.contains(key);
        let missing: Vec<&str> = profile.hints.keys().filter(stays).map(String::as_str).collect();
        if missing.is_empty() { Ok(()) } else { Err(secret_required(&missing)) }
    }

    async fn verified_change(
        &self,
        actor: &Actor,
        stored: &Stored,
        profile: Profile,
        settings: Settings,
        patch: &Patch,
    ) -> Result<Change, Problem> {
        let (id, pair) = (stored.id, stored.pair);
        let sealer = stored.sealer(&self.inner.vault);
        // Where every secret is replaced, the old ones need not be readable any more.
        let mut credentials = match sealer.open_credentials(stored.sealed.credentials.as_deref()) {
            Ok(credentials) => credentials,
            Err(_) if profile.hints.keys().all(|key| patch.credentials.contains_key(key)) => Default::default(),
            Err(error) => return Err(unreadable(&error)),
        };
        let Profile { settings: stored_settings, mut hints } = profile;
        for key in &patch.removed {
            credentials.remove(key);
            hints.remove(key);
        }
        for (key, secret) in &patch.credentials {
            hints.insert(key.clone(), SecretHint::of(secret.expose_secret()));
            credentials.insert(key.clone(), secret.clone());
        }
        let account = Account {
            connection: id,
            settings: settings.clone(),
            credentials: credentials.clone(),
            detected: verification::Detected::default(),
        };
        let verification = self.verify_account(&actor.organisation, pair, account).await?;
        self.demand_ok(actor, pair, &verification, Some(id)).await?;
        let moved = (settings != stored_settings).then(|| "settings".to_owned());
        let fields = moved.into_iter().chain(patch.credentials.keys().chain(&patch.removed).cloned()).collect();
        Ok(Change {
            sealed: Sealed {
                settings: Some(sealer.seal_profile(&Profile { settings, hints }).map_err(Problem::internal)?),
                credentials: Some(sealer.seal_credentials(&credentials).map_err(Problem::internal)?),
                verification: Some(sealer.seal_verification(&verification).map_err(Problem::internal)?),
                health: None,
            },
            fields,
        })
    }

    async fn save_change(
        &self,
        actor: &Actor,
        id: Uuid,
        edit: Edit,
        if_match: Option<IfMatch>,
    ) -> Result<ConnectionView, Problem> {
        let Edit { seen, renamed, change, expiry } = edit;
        let learner = self.learner();
        let owner = actor.clone();
        let now = now_micros();
        let (organisation, erases) = (actor.organisation.as_str().to_owned(), change.is_some());
        let save = move |db: &mut DbConnection| {
            let mut stored = live(db, &owner.organisation, id)?;
            if if_match.is_some_and(|if_match| !if_match.allows(stored.version, stored.updated_at)) {
                return Err(version_conflict());
            }
            // What was verified is only saved over what it was verified against.
            if change.is_some() && stored.version != seen {
                return Err(version_conflict());
            }
            let mut fields = change.as_ref().map(|change| change.fields.clone()).unwrap_or_default();
            if let Some(name) = renamed {
                if store::name_taken(db, &owner.organisation, &name, Some(id))? {
                    return Err(name_is_taken());
                }
                stored.name = name;
                fields.insert(0, "name".to_owned());
            }
            if let Some(Change { sealed, .. }) = change {
                if let Some(verification) = &sealed.verification {
                    verifications::remember(db, &owner.organisation, id, verification, now)?;
                }
                let mut condition = stored.condition(&learner.vault);
                let moment = learner.moment(&stored, now);
                for happened in condition.learn(&Finding::Works, Source::Verification, moment) {
                    events::append(db, &*stored, &condition, happened.into(), now)?;
                }
                let health = stored.sealer(&learner.vault).seal_health(&condition).map_err(Problem::internal)?;
                stored.sealed = Sealed { health: Some(health), ..sealed };
                stored.status = condition.status;
                stored.check_after = learner.schedule.after_success(now);
                stored.check_attempts = 0;
                stored.last_success_at = Some(now);
                stored.last_checked_at = Some(now);
                stored.verify_after = None;
                stored.lease_until = None;
                stored.lease_owner = None;
            }
            if let Some(expiry) = expiry {
                stored.expiry = expiry;
                stored.tell_expiry_at = expiry.map(Day::first_announcement);
                fields.push("credentials_expire_at".to_owned());
            }
            stored.version += 1;
            stored.updated_at = now;
            store::change(db, &stored)?;
            let event = Event {
                action: Action::ConnectionUpdated,
                outcome: "ok".to_owned(),
                connection: Some(id),
                detail: json!({ "fields": fields }),
            };
            audit::append(db, &owner, &event, now)?;
            Ok(stored.view(&learner.vault))
        };
        if erases {
            self.inner.db.write_erasing(organisation, now, save).await
        } else {
            self.inner.db.write(organisation, now, save).await
        }
    }

    /// Deletes a connection and destroys its secrets. Deleting it again changes nothing.
    ///
    /// # Errors
    /// Unknown to this organisation, or a version that is not the current one.
    pub async fn delete(&self, actor: &Actor, id: Uuid, if_match: Option<IfMatch>) -> Result<(), Problem> {
        let (service, owner) = (self.clone(), actor.clone());
        to_the_end(async move {
            service.bury(owner, id, if_match).await?;
            service.announce_deletion(id).await;
            service.inner.db.finish_scrub().await;
            Ok(())
        })
        .await
    }

    async fn bury(&self, owner: Actor, id: Uuid, if_match: Option<IfMatch>) -> Result<(), Problem> {
        // A use of a moment ago is included.
        self.inner.uses.flush_of(&owner.organisation).await;
        let (now, vault) = (now_micros(), Arc::clone(&self.inner.vault));
        self.inner
            .db
            .write_erasing(owner.organisation.as_str().to_owned(), now, move |db| -> Result<(), Problem> {
                let outline = match store::find_outline(db, &owner.organisation, id)? {
                    Found::Live(outline) => outline,
                    Found::Deleted => return Ok(()),
                    Found::Nothing => return Err(Problem::no_connection()),
                };
                if if_match.is_some_and(|if_match| !if_match.allows(outline.version, outline.updated_at)) {
                    return Err(version_conflict());
                }
                let known = outline.stored.as_ref().map(|stored| stored.condition(&vault));
                let condition = known.unwrap_or_else(|| Condition::inherited(outline.status, None));
                let subject = Subject {
                    organisation: &owner.organisation,
                    id,
                    name: &outline.name,
                    platform: &outline.platform,
                    connection_type: &outline.connection_type,
                };
                events::append(db, subject, &condition, EventType::Deleted, now)?;
                store::bury(db, &owner.organisation, id, now)?;
                let event = Event {
                    action: Action::ConnectionDeleted,
                    outcome: "ok".to_owned(),
                    connection: Some(id),
                    detail: json!({ "platform": outline.platform, "connection_type": outline.connection_type }),
                };
                Ok(audit::append(db, &owner, &event, now)?)
            })
            .await
    }
}

/// What is edited, of which version.
struct Edit {
    seen: i64,
    renamed: Option<String>,
    change: Option<Change>,
    /// The day on which the key runs out, if that changes.
    expiry: Option<Option<Day>>,
}

/// What a change of settings or secrets will write.
struct Change {
    sealed: Sealed,
    /// What changes, by name.
    fields: Vec<String>,
}

/// The secrets that a change of host needs, by field.
pub fn secret_required(missing: &[&str]) -> Problem {
    let detail = "Enter this secret again: the change moves the connection to another host.";
    let again = |key: &&str| FieldProblem::at("/credentials", key, InputCode::Required, detail);
    let detail = "The change moves the connection to another host, so its secrets must be sent again.";
    Problem { errors: missing.iter().map(again).collect(), ..Problem::new(Code::SecretRequired, detail) }
}

/// `If-Match` names another version than there is.
pub fn version_conflict() -> Problem {
    Problem::new(Code::VersionConflict, "The connection was changed in the meantime.")
        .hint("Read it again and repeat the change.")
}
