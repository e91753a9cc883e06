//! What an organisation has: its connections, and what happened to them, page by page.

use bytes::Bytes;
use uuid::Uuid;

use super::audit::{self, AuditQuery};
use super::events::{EventPage, EventView};
use super::kept::PageKey;
use super::service::{Connections, live, plan_of};
use super::store::{self, ListPosition, ListQuery, Listed, automations, events as stored_events, verifications};
use super::{Actor, AuditEventView, AutomationView, ConnectionView, Page, Status, Usage, cursor};
use crate::platforms::verification::Verification;
use crate::problem::Problem;
use crate::tenancy::OrgId;

impl Connections {
    /// How much of the plan is used.
    ///
    /// # Errors
    /// No plan, or a failing database.
    pub async fn usage(&self, actor: &Actor) -> Result<Usage, Problem> {
        let plan = plan_of(actor)?;
        let limit = self.inner.options.plan_limits.limit(plan);
        let owner = actor.organisation.clone();
        let (used, demo_used) = self.inner.db.read(move |db| store::count(db, &owner)).await.map_err(Problem::from)?;
        Ok(Usage { plan, limit, used, remaining: limit.saturating_sub(used), over_limit: used > limit, demo_used })
    }

    /// One page of the organisation's connections, as JSON.
    ///
    /// # Errors
    /// A cursor of another query, or a failing database.
    pub async fn list(&self, organisation: &OrgId, query: ListQuery, cursor: Option<&str>) -> Result<Bytes, Problem> {
        let of = cursor::fingerprint(&[
            organisation.as_str(),
            "connections",
            &format!("{:?}", (query.platform, query.connection_type, query.status, &query.name_contains)),
            &format!("{:?} {}", query.sort, query.descending),
        ]);
        // Before the rows are read: whatever changes them from now on makes the page one of the past.
        let Some(stamp) = self.inner.db.stamp() else {
            return written(&self.page(organisation, query, cursor, &of).await?);
        };
        let key = PageKey {
            organisation: organisation.clone(),
            query: of,
            limit: query.limit,
            cursor: cursor.map(str::to_owned),
        };
        if let Some(page) = self.inner.pages.get(&key, stamp) {
            return Ok(page);
        }
        let page = written(&self.page(organisation, query, cursor, &key.query).await?)?;
        self.inner.pages.keep(key, stamp, &page);
        Ok(page)
    }

    async fn page(
        &self,
        organisation: &OrgId,
        mut query: ListQuery,
        cursor: Option<&str>,
        of: &str,
    ) -> Result<Page<ConnectionView>, Problem> {
        query.after = cursor.map(|cursor| cursor::decode(of, cursor)).transpose()?;
        if query.after.as_ref().is_some_and(|(value, _)| !query.sort.can_hold(value)) {
            return Err(cursor::damaged());
        }
        let limit = query.limit;
        let rows = self.shown(organisation, query).await?;
        Ok(page(rows, limit, |(position, _)| cursor::encode(of, position)).map(|(_, view)| Some(view.clone())))
    }

    /// One connection more than the query's limit, if there are as many, with their places in the list.
    ///
    /// A row that cannot be opened shows as `failing` whatever status is stored, so that what is shown decides, and as
    /// many rows are read as it takes.
    async fn shown(
        &self,
        organisation: &OrgId,
        mut query: ListQuery,
    ) -> Result<Vec<(ListPosition, ConnectionView)>, Problem> {
        let wanted = query.status;
        query.status = wanted.filter(|status| *status != Status::Failing);
        let enough = usize::try_from(query.limit).unwrap_or_default();
        query.limit += 1;
        let mut shown = Vec::new();
        loop {
            let (owner, asked) = (organisation.clone(), query.clone());
            let listed = self.inner.db.read(move |db| store::list(db, &owner, &asked)).await.map_err(Problem::from)?;
            let is_last = i64::try_from(listed.len()).is_ok_and(|count| count < query.limit);
            query.after = listed.last().map(|entry| entry.position.clone());
            shown.extend(listed.into_iter().filter_map(|Listed { position, stored }| match stored {
                Ok(stored) => {
                    let view = stored.view(&self.inner.vault);
                    wanted.is_none_or(|wanted| view.status == wanted).then_some((position, view))
                }
                Err(damaged) => {
                    tracing::warn!(connection.id = position.1, cause = %damaged, "a stored connection cannot be shown");
                    None
                }
            }));
            if is_last || shown.len() > enough {
                return Ok(shown);
            }
        }
    }

    /// One page of a connection's verifications, newest first.
    ///
    /// # Errors
    /// Unknown or deleted, or a cursor of another query.
    pub async fn verifications(
        &self,
        organisation: &OrgId,
        id: Uuid,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<Verification>, Problem> {
        let of = cursor::fingerprint(&[organisation.as_str(), "verifications", &id.to_string()]);
        let after = cursor.map(|cursor| cursor::decode::<String>(&of, cursor)).transpose()?;
        let owner = organisation.clone();
        let (stored, entries) = self
            .inner
            .db
            .read(move |db| -> Result<_, Problem> {
                let stored = live(db, &owner, id)?;
                Ok((stored, verifications::history(db, &owner, id, after, limit + 1)?))
            })
            .await?;
        let sealer = stored.sealer(&self.inner.vault);
        Ok(page(entries, limit, |entry| cursor::encode(&of, &entry.id))
            .map(|entry| sealer.open_verification(&entry.sealed).ok()))
    }

    /// One page of the automations that used a connection.
    ///
    /// # Errors
    /// Unknown or deleted, or a cursor of another query.
    pub async fn automations(
        &self,
        organisation: &OrgId,
        id: Uuid,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<AutomationView>, Problem> {
        let of = cursor::fingerprint(&[organisation.as_str(), "automations", &id.to_string()]);
        let after = cursor.map(|cursor| cursor::decode::<String>(&of, cursor)).transpose()?;
        self.inner.uses.flush_of(organisation).await;
        let owner = organisation.clone();
        let rows = self
            .inner
            .db
            .read(move |db| -> Result<_, Problem> {
                live(db, &owner, id)?;
                Ok(automations::page(db, &owner, id, after, limit + 1)?)
            })
            .await?;
        Ok(page(rows, limit, |entry| cursor::encode(&of, &entry.automation_id)).map(|entry| Some(entry.clone())))
    }

    /// One page of the organisation's audit events, newest first.
    ///
    /// # Errors
    /// A cursor of another query, or a failing database.
    pub async fn audit_events(
        &self,
        organisation: &OrgId,
        wanted: AuditQuery,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<AuditEventView>, Problem> {
        let of = cursor::fingerprint(&[organisation.as_str(), "audit-events", &wanted.cursor_key()]);
        let after = cursor.map(|cursor| cursor::decode::<String>(&of, cursor)).transpose()?;
        self.inner.uses.flush_of(organisation).await;
        let owner = organisation.clone();
        let rows = self.inner.db.read(move |db| audit::events_of(db, &owner, &wanted, after, limit + 1)).await?;
        Ok(page(rows, limit, |event| cursor::encode(&of, event.id)).map(|event| Some(event.clone())))
    }

    /// The organisation's events after a cursor, oldest first; from the first that is kept without one.
    ///
    /// # Errors
    /// A cursor of another organisation, or a failing database.
    pub async fn events(&self, organisation: &OrgId, limit: i64, cursor: Option<&str>) -> Result<EventPage, Problem> {
        let of = cursor::fingerprint(&[organisation.as_str(), "events"]);
        let after: i64 = cursor.map(|cursor| cursor::decode(&of, cursor)).transpose()?.unwrap_or_default();
        let owner = organisation.clone();
        let mut rows = self.inner.db.read(move |db| stored_events::after(db, &owner, after, limit + 1)).await?;
        let limit = usize::try_from(limit).unwrap_or_default();
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map_or(after, |row| row.sequence);
        Ok(EventPage {
            data: rows.into_iter().map(EventView::from).collect(),
            next_cursor: cursor::encode(&of, last).unwrap_or_default(),
            has_more,
        })
    }
}

fn written(page: &Page<ConnectionView>) -> Result<Bytes, Problem> {
    serde_json::to_vec(page).map(Bytes::from).map_err(Problem::internal)
}

/// A page cut to its limit, not yet shown.
pub(crate) struct Rows<T> {
    rows: Vec<T>,
    next_cursor: Option<String>,
}

pub(crate) fn page<T>(mut rows: Vec<T>, limit: i64, cursor: impl FnOnce(&T) -> Option<String>) -> Rows<T> {
    let limit = usize::try_from(limit).unwrap_or_default();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = if more { rows.last().and_then(cursor) } else { None };
    Rows { rows, next_cursor }
}

impl<T> Rows<T> {
    pub(crate) fn map<V>(self, show: impl FnMut(&T) -> Option<V>) -> Page<V> {
        Page { data: self.rows.iter().filter_map(show).collect(), next_cursor: self.next_cursor }
    }
}
