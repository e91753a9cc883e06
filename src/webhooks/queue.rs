//! What is to be sent, and by whom: the queries of the background, which go through the webhooks of all organisations.
//! Nothing that a caller asks for may use them.
//!
//! The right to send to a webhook is a lease on its row. Its holder takes one event after the other: those that are due
//! to be tried again, and those after the number that the webhook has come to. While a receiver answers well, what is tried
//! again comes first, so that events stay in order after a failure; after a failure the two take turns, so that one kind
//! of event that always fails holds up no other.

use diesel::prelude::*;
use serde_json::json;

use super::pace;
use super::rows::{WebhookRetryRow, WebhookRow};
use super::sending::Attempt;
use super::slots::LeftOut;
use super::store;
use super::view::{DeliveryOutcome, PausedReason};
use super::wanted::Wanted;
use crate::clock::micros;
use crate::connections::Actor;
use crate::connections::action::Action;
use crate::connections::audit;
use crate::connections::claims::LONGEST_LEASE;
use crate::connections::events::EventType;
use crate::connections::store::events::{self, KeptEvent};
use crate::db::schema::{organisations, webhook_retries, webhooks};
use crate::db::{DbConnection, DbError};
use crate::tenancy::OrgId;

/// Who pauses a webhook, in the audit trail.
const NOBODY: &str = "background";

/// A webhook that has something to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) id: String,
    pub(super) organisation: OrgId,
    /// Whether the last attempt failed.
    pub(super) is_failing: bool,
}

/// The right to send to a webhook, as long as the lease lasts.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) webhook: Due,
    pub(super) owner: String,
}

/// An event to be sent to a claimed webhook.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) webhook: WebhookRow,
    pub(super) event_id: String,
    pub(super) event_type: String,
    sequence: i64,
    /// The event, unless it is no longer kept.
    pub(super) event: Option<KeptEvent>,
    /// Which attempt this is.
    pub(super) attempt: i64,
    first_at: Option<i64>,
}

/// What was written of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) outcome: DeliveryOutcome,
    /// Whether the webhook can be sent more.
    pub(super) goes_on: bool,
}

/// Webhooks that have something to be sent, those first that had their turn longest ago.
pub(super) fn due(db: &mut DbConnection, now: i64, left_out: LeftOut, limit: i64) -> Result<Vec<Due>, DbError> {
    let ahead = now + micros(pace::FURTHEST);
    let has_new = organisations::event_sequence.gt(webhooks::progress);
    let has_retries = webhooks::retry_at.le(now).or(webhooks::retry_at.gt(ahead));
    let mut due = webhooks::table
        .inner_join(organisations::table.on(organisations::id.eq(webhooks::organisation_id)))
        .filter(webhooks::active.eq(true))
        .filter(
            webhooks::lease_until
                .is_null()
                .or(webhooks::lease_until.lt(now))
                .or(webhooks::lease_until.gt(now + LONGEST_LEASE)),
        )
        .filter(webhooks::rest_until.le(now).or(webhooks::rest_until.gt(ahead)))
        .filter(has_retries.or(has_new))
        .filter(webhooks::organisation_id.ne_all(left_out.organisations))
        .order(webhooks::served_at.asc())
        .limit(limit)
        .select((webhooks::id, webhooks::organisation_id, webhooks::failures))
        .into_boxed();
    if left_out.all_failing {
        due = due.filter(webhooks::failures.eq(0));
    } else if !left_out.failing_of.is_empty() {
        due = due.filter(webhooks::failures.eq(0).or(webhooks::organisation_id.ne_all(left_out.failing_of)));
    }
    let rows: Vec<(String, String, i64)> = due.load(db)?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, organisation, failures)| {
            Some(Due { id, organisation: organisation.parse().ok()?, is_failing: failures > 0 })
        })
        .collect())
}

/// Claims a webhook, unless another worker was quicker; says whether it is this one's.
pub(super) fn claim(db: &mut DbConnection, claim: &Claim, now: i64, lease_end: i64) -> Result<bool, DbError> {
    let free = webhooks::table.filter(webhooks::id.eq(&claim.webhook.id)).filter(webhooks::active.eq(true)).filter(
        webhooks::lease_until
            .is_null()
            .or(webhooks::lease_until.lt(now))
            .or(webhooks::lease_until.gt(now + LONGEST_LEASE)),
    );
    let claimed = diesel::update(free)
        .set((
            webhooks::lease_until.eq(Some(lease_end)),
            webhooks::lease_owner.eq(Some(&claim.owner)),
            webhooks::served_at.eq(now),
        ))
        .execute(db)?;
    Ok(claimed > 0)
}

/// Has a lease last until then, unless it is over and another worker's by now.
pub(super) fn renew_lease(db: &mut DbConnection, claim: &Claim, until: i64) -> Result<(), DbError> {
    let claimed =
        webhooks::table.filter(webhooks::id.eq(&claim.webhook.id)).filter(webhooks::lease_owner.eq(&claim.owner));
    diesel::update(claimed).set(webhooks::lease_until.eq(Some(until))).execute(db)?;
    Ok(())
}

/// Ends a claim, unless it is another worker's by now.
pub(super) fn put_back(db: &mut DbConnection, claim: &Claim) -> Result<(), DbError> {
    let claimed =
        webhooks::table.filter(webhooks::id.eq(&claim.webhook.id)).filter(webhooks::lease_owner.eq(&claim.owner));
    diesel::update(claimed)
        .set((webhooks::lease_until.eq(None::<i64>), webhooks::lease_owner.eq(None::<String>)))
        .execute(db)?;
    Ok(())
}

/// The webhook of a claim, while it is this worker's.
fn claimed(db: &mut DbConnection, claim: &Claim) -> Result<Option<WebhookRow>, DbError> {
    Ok(webhooks::table
        .filter(webhooks::id.eq(&claim.webhook.id))
        .filter(webhooks::lease_owner.eq(&claim.owner))
        .select(WebhookRow::as_select())
        .get_result(db)
        .optional()?)
}

/// What is to be sent next to a claimed webhook, if anything is.
pub(super) fn next(db: &mut DbConnection, claim: &Claim, now: i64) -> Result<Option<Job>, DbError> {
    let Some(webhook) = claimed(db, claim)?.filter(|webhook| webhook.active) else { return Ok(None) };
    if !pace::has_come(webhook.rest_until, now) {
        return Ok(None);
    }
    let organisation = &claim.webhook.organisation;
    if webhook.failures % 2 == 0 {
        if let Some(job) = next_retry(db, organisation, &webhook, now)? {
            return Ok(Some(job));
        }
        next_new(db, organisation, &webhook)
    } else {
        match next_new(db, organisation, &webhook)? {
            Some(job) => Ok(Some(job)),
            None => next_retry(db, organisation, &webhook, now),
        }
    }
}

/// The first event that is due to be tried again.
fn next_retry(
    db: &mut DbConnection,
    organisation: &OrgId,
    webhook: &WebhookRow,
    now: i64,
) -> Result<Option<Job>, DbError> {
    let retry: Option<WebhookRetryRow> = webhook_retries::table
        .filter(webhook_retries::webhook_id.eq(&webhook.id))
        .filter(webhook_retries::next_at.le(now).or(webhook_retries::next_at.gt(now + micros(pace::FURTHEST))))
        .order(webhook_retries::sequence.asc())
        .limit(1)
        .select(WebhookRetryRow::as_select())
        .get_result(db)
        .optional()?;
    let Some(retry) = retry else { return Ok(None) };
    let event = events::at(db, organisation, retry.sequence)?;
    Ok(Some(Job {
        webhook: webhook.clone(),
        event_id: retry.event_id,
        event_type: retry.event_type,
        sequence: retry.sequence,
        event,
        attempt: retry.attempts + 1,
        first_at: Some(retry.first_at),
    }))
}

/// The first event that was not tried yet. Events that are none for this webhook, or no longer kept, are passed over.
fn next_new(db: &mut DbConnection, organisation: &OrgId, webhook: &WebhookRow) -> Result<Option<Job>, DbError> {
    let types = match Wanted::read(&webhook.events) {
        Wanted::All => None,
        Wanted::Some(types) => Some(types.into_iter().map(EventType::key).collect()),
    };
    let Some(event) = events::next(db, organisation, webhook.progress, types)? else {
        // Nobody adds an event meanwhile: the organisation's row is locked.
        let last = store::last_sequence(db, organisation)?;
        if last != webhook.progress {
            set_progress(db, webhook, last)?;
        }
        return Ok(None);
    };
    Ok(Some(Job {
        webhook: webhook.clone(),
        event_id: event.id.to_string(),
        event_type: event.event_type.clone(),
        sequence: event.sequence,
        event: Some(event),
        attempt: 1,
        first_at: None,
    }))
}

fn set_progress(db: &mut DbConnection, webhook: &WebhookRow, progress: i64) -> Result<(), DbError> {
    diesel::update(webhooks::table.filter(webhooks::id.eq(&webhook.id)))
        .set(webhooks::progress.eq(progress))
        .execute(db)?;
    Ok(())
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Delivered,
    Again,
    /// The webhook is turned off.
    Paused(PausedReason),
    /// Nothing is to be tried again: the event is no longer kept, or somebody has turned the webhook off.
    Dropped,
}

impl Verdict {
    fn of(webhook: &WebhookRow, job: &Job, attempt: &Attempt, now: i64) -> Self {
        if attempt.is_delivered() {
            Self::Delivered
        } else if job.event.is_none() || !webhook.active {
            Self::Dropped
        } else if attempt.status == Some(410) {
            Self::Paused(PausedReason::Gone)
        } else if pace::is_over(job.first_at.unwrap_or(now), job.attempt, now) {
            Self::Paused(PausedReason::Failures)
        } else {
            Self::Again
        }
    }

    const fn outcome(self) -> DeliveryOutcome {
        match self {
            Self::Delivered => DeliveryOutcome::Delivered,
            Self::Again => DeliveryOutcome::Retrying,
            Self::Paused(_) | Self::Dropped => DeliveryOutcome::Failed,
        }
    }
}

/// Writes what came of an attempt, and takes the step forward. `None` if the webhook is no longer this worker's: then
/// another one sends the event again.
pub(super) fn record(
    db: &mut DbConnection,
    claim: &Claim,
    job: &Job,
    attempt: &Attempt,
    now: i64,
) -> Result<Option<Recorded>, DbError> {
    let Some(webhook) = claimed(db, claim)? else { return Ok(None) };
    let verdict = Verdict::of(&webhook, job, attempt, now);
    let outcome = verdict.outcome();
    let event = (job.event_id.as_str(), job.event_type.as_str());
    store::remember(db, &attempt.row(&webhook.id, event, job.attempt, outcome, now))?;
    if job.sequence > webhook.progress {
        set_progress(db, &webhook, job.sequence)?;
    }
    match verdict {
        Verdict::Delivered => {
            forget_retry(db, &webhook, job)?;
            if webhook.failures > 0 {
                recover(db, &webhook, now)?;
            }
        }
        Verdict::Again => try_again(db, &webhook, job, attempt, now)?,
        Verdict::Paused(reason) => pause(db, &claim.webhook.organisation, &webhook, reason, now)?,
        Verdict::Dropped => forget_retry(db, &webhook, job)?,
    }
    note_next_retry(db, &webhook)?;
    Ok(Some(Recorded { outcome, goes_on: webhook.active && !matches!(verdict, Verdict::Paused(_)) }))
}

fn forget_retry(db: &mut DbConnection, webhook: &WebhookRow, job: &Job) -> Result<(), DbError> {
    diesel::delete(
        webhook_retries::table
            .filter(webhook_retries::webhook_id.eq(&webhook.id))
            .filter(webhook_retries::sequence.eq(job.sequence)),
    )
    .execute(db)?;
    Ok(())
}

fn try_again(
    db: &mut DbConnection,
    webhook: &WebhookRow,
    job: &Job,
    attempt: &Attempt,
    now: i64,
) -> Result<(), DbError> {
    forget_retry(db, webhook, job)?;
    let row = WebhookRetryRow {
        webhook_id: webhook.id.clone(),
        sequence: job.sequence,
        event_id: job.event_id.clone(),
        event_type: job.event_type.clone(),
        attempts: job.attempt,
        // A clock that went back must not have it tried for longer.
        first_at: job.first_at.unwrap_or(now).min(now),
        next_at: pace::next_attempt(job.attempt, now),
    };
    diesel::insert_into(webhook_retries::table).values(&row).execute(db)?;
    let failures = webhook.failures + 1;
    diesel::update(webhooks::table.filter(webhooks::id.eq(&webhook.id)))
        .set((webhooks::failures.eq(failures), webhooks::rest_until.eq(pace::rest(failures, attempt.retry_after, now))))
        .execute(db)?;
    Ok(())
}

/// A receiver that failed answers well again. If it was away, what waits for it need not wait for its time.
pub(super) fn recover(db: &mut DbConnection, webhook: &WebhookRow, now: i64) -> Result<(), DbError> {
    diesel::update(webhooks::table.filter(webhooks::id.eq(&webhook.id)))
        .set((webhooks::failures.eq(0), webhooks::rest_until.eq(0)))
        .execute(db)?;
    if webhook.failures >= pace::FAILING {
        diesel::update(webhook_retries::table.filter(webhook_retries::webhook_id.eq(&webhook.id)))
            .set(webhook_retries::next_at.eq(now))
            .execute(db)?;
    }
    note_next_retry(db, webhook)
}

/// Keeps on the webhook's own row when the first of its retries is due.
fn note_next_retry(db: &mut DbConnection, webhook: &WebhookRow) -> Result<(), DbError> {
    let next: Option<i64> = webhook_retries::table
        .filter(webhook_retries::webhook_id.eq(&webhook.id))
        .select(diesel::dsl::min(webhook_retries::next_at))
        .get_result(db)?;
    diesel::update(webhooks::table.filter(webhooks::id.eq(&webhook.id)))
        .set(webhooks::retry_at.eq(next))
        .execute(db)?;
    Ok(())
}

/// Turns a webhook off, and has the audit trail say so.
fn pause(
    db: &mut DbConnection,
    organisation: &OrgId,
    webhook: &WebhookRow,
    reason: PausedReason,
    now: i64,
) -> Result<(), DbError> {
    store::forget_retries(db, webhook)?;
    diesel::update(webhooks::table.filter(webhooks::id.eq(&webhook.id)))
        .set((
            webhooks::active.eq(false),
            webhooks::paused_reason.eq(Some(reason.key())),
            webhooks::failures.eq(0),
            webhooks::rest_until.eq(0),
        ))
        .execute(db)?;
    let actor = Actor {
        organisation: organisation.clone(),
        plan: None,
        subject: NOBODY.to_owned(),
        via_service: false,
        address: None,
        request_id: format!("background-{now}"),
    };
    let event = audit::Event {
        action: Action::WebhookPaused,
        outcome: reason.key().to_owned(),
        connection: None,
        detail: json!({ "webhook_id": webhook.id, "reason": reason }),
    };
    audit::append(db, &actor, &event, now)
}
