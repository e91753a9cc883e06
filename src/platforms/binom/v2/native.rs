//! Days and hours as the installation groups them itself, where it was proven that it does.
//!
//! What these groupings are called is written nowhere, so some names are tried, once for each installation. Even then an
//! answer is only used if it adds up: to what the whole range comes to, and, hour by hour, to what one stretch of real time
//! comes to that is asked for by itself. The latter also shows whether the installation knows the zone as it is known
//! here. Whatever does not add up is asked for by windows again, and so is everything after it for some hours.

use compact_str::CompactString;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::super::limits::LIMITS;
use super::super::report::{Part, is_idle};
use super::super::windows::{Grain, Window, Wording, cut};
use super::Api;
use super::names::{CANDIDATES, Name, Names};
use super::road::{IDS_PER_CALL, MAX_GROUPINGS, Road};
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::platforms::calendar::DateRange;
use crate::platforms::stats::{Against, Check, Dimension, DimensionValue, Metrics, StatsQuery};
use crate::platforms::{total, zone_changes};

/// Fewer windows than these are asked for as soon as something else.
const FEW_WINDOWS: usize = 8;

/// About how many calls it takes to find out that there are no such groupings.
const TRIAL_CALLS: usize = 16;

/// So many hours of a day are asked for by themselves: a shift by an hour shows in them.
const PROOF_HOURS: u8 = 12;

/// A question as the installation may group it itself.
struct Native<'a> {
    api: &'a Api,
    query: &'a StatsQuery,
    /// Days and hours, as far as they are asked for.
    times: Vec<Dimension>,
    /// Everything that is grouped by.
    groupings: Vec<Dimension>,
    /// The range in words of its own zone.
    period: Wording,
}

/// The rows of a report in one part, if the installation groups days and hours by itself and they add up.
///
/// # Errors
/// What has nothing to do with the groupings.
pub(super) async fn part(
    api: &Api,
    query: &StatsQuery,
    road: &Road,
    windows: usize,
) -> Result<Option<Part>, PlatformError> {
    if windows <= FEW_WINDOWS {
        return Ok(None);
    }
    let Some(native) = Native::of(api, query, road) else { return Ok(None) };
    // Trying leaves as many calls as windows take: what they cannot do is refused before the first call.
    let left = api.upstream.max_calls().saturating_sub(api.upstream.calls());
    let is_free = usize::try_from(left).is_ok_and(|left| windows + TRIAL_CALLS <= left);
    if !is_free && !native.is_proven() {
        return Ok(None);
    }
    match native.read().await {
        Ok(part) => Ok(part),
        // It may be away for a moment: windows find that out, and nothing is remembered.
        Err(error) if error.kind == ErrorKind::Failing => Ok(None),
        // It may be a word that this installation does not know.
        Err(error) if is_about_words(error.kind) => Ok(native.give_up()),
        Err(error) => Err(error),
    }
}

impl<'a> Native<'a> {
    /// `None` where it is known that there is no such grouping, or the question is not one of campaigns.
    fn of(api: &'a Api, query: &'a StatsQuery, road: &Road) -> Option<Self> {
        let others: &[Dimension] = match road {
            Road::Totals => &[],
            Road::Entities(Dimension::Campaign, _) => &[Dimension::Campaign],
            Road::ByCampaign(groupings) => groupings,
            Road::Entities(..) | Road::BySource(_) => return None,
        };
        let times: Vec<Dimension> =
            [Dimension::Date, Dimension::Hour].into_iter().filter(|time| query.has(*time)).collect();
        let groupings: Vec<Dimension> = others.iter().chain(&times).copied().collect();
        let mut known = api.times.get();
        let is_open = times.iter().all(|time| *known.of(*time) != Name::None);
        // Days by rules that the installation may not have yet are those of windows.
        let is_certain = zone_changes::days_concerned(&query.zone, query.range).is_none();
        let period = Wording::local(&query.zone, query.range);
        (is_open && is_certain && groupings.len() <= MAX_GROUPINGS).then_some(Self {
            api,
            query,
            times,
            groupings,
            period,
        })
    }

    /// Whether the groupings that it needs are known already.
    fn is_proven(&self) -> bool {
        let names = self.api.times.get();
        self.times.iter().all(|time| names.get(*time).is_some())
    }

    /// Remembers that it is windows here.
    fn give_up(&self) -> Option<Part> {
        let mut names = self.api.times.get();
        for time in &self.times {
            *names.of(*time) = Name::None;
        }
        self.api.times.set(names);
        None
    }

    /// In this order, each step being a round of calls:
    ///
    /// 1. The campaigns with numbers in the range, whose ids a report wants, and what they come to.
    /// 2. Where that is not known yet: what the groupings are called.
    /// 3. The report, and what it is held against.
    async fn read(&self) -> Result<Option<Part>, PlatformError> {
        let days = self.proof_days();
        let (campaigns, before) = self.campaigns().await?;
        if days.is_empty() || campaigns.is_empty() {
            return Ok(None);
        }
        let Some(names) = self.names(&campaigns).await? else { return Ok(self.give_up()) };
        let api = Api { named: names, ..self.api.clone() };
        let slices = campaigns.chunks(IDS_PER_CALL);
        let read = try_join_all(slices.map(|ids| api.nested("campaign", ids, &self.groupings, &self.period)));
        let proofs = try_join_all(days.into_iter().map(|day| self.proof(&api, day, &campaigns)));
        let (parts, proofs) = futures_util::try_join!(read, proofs)?;
        let mut all = Part::default();
        for part in parts {
            all.lines.extend(part.lines);
            all.checks.extend(part.checks);
        }
        let is_proven = proofs.iter().all(|proof| proof.holds(&all));
        if !is_proven || all.checks.iter().any(|check| check.mismatch.is_some()) || !self.adds_up(&all, &before).await?
        {
            return Ok(self.give_up());
        }
        // Nothing agrees with nothing, which proves nothing.
        if proofs.iter().all(|proof| is_idle(&proof.real)) {
            return Ok(None);
        }
        all.checks.push(Check { against: Against::Independent, mismatch: None });
        self.api.times.set(names);
        Ok(Some(all))
    }

    /// Whether the rows come to what the campaigns do. A day that is not over goes on while it is read.
    async fn adds_up(&self, all: &Part, before: &Metrics) -> Result<bool, PlatformError> {
        let rows = all.lines.iter().fold(Metrics::ZERO, |sum, line| sum.add(&line.metrics));
        if total::differences("Binom", &rows, before, before).is_empty() {
            return Ok(true);
        }
        let today = self.query.zone.date_at(Timestamp::now());
        if self.query.range.to() < today {
            return Ok(false);
        }
        let (_, after) = self.campaigns().await?;
        Ok(total::differences("Binom", &rows, before, &after).is_empty())
    }

    /// The days to prove by: the latest that is over, and where the clocks change within the range the first too.
    fn proof_days(&self) -> Vec<Date> {
        let (zone, range) = (&self.query.zone, self.query.range);
        let latest = range.to().min(zone.date_at(Timestamp::now()).saturating_sub(1.day()));
        let offset = |day: Date| zone.start_of(day).map(|start| zone.rules().to_offset(start));
        let mut days = vec![latest];
        if offset(latest) != offset(range.from()) {
            days.push(range.from());
        }
        days.retain(|day| range.contains(*day) && *day <= latest);
        days
    }

    /// The campaigns that have any numbers in the range and that the query is about, and what they come to.
    async fn campaigns(&self) -> Result<(Vec<CompactString>, Metrics), PlatformError> {
        let wanted = self.query.filters.get(&Dimension::Campaign);
        let (mut ids, mut sum) = (Vec::new(), Metrics::ZERO);
        for window in cut(&self.query.zone, self.query.range, Grain::Whole)? {
            let (rows, _) = self.api.entities("campaign", &window.wording()).await?;
            for row in rows.into_iter().filter(|row| !is_idle(&row.metrics)) {
                let id = CompactString::from(row.id);
                if wanted.is_none_or(|wanted| wanted.contains(&id)) {
                    sum = sum.add(&row.metrics);
                    if !ids.contains(&id) {
                        ids.push(id);
                    }
                }
            }
        }
        Ok((ids, sum))
    }

    /// The names of the groupings that are needed, tried where they are not known; `None` where there are none.
    async fn names(&self, campaigns: &[CompactString]) -> Result<Option<Names>, PlatformError> {
        let mut names = self.api.times.get();
        let missing = |names: &Names| self.times.iter().any(|time| names.get(*time).is_none());
        if !missing(&names) {
            return Ok(Some(names));
        }
        let candidates = CANDIDATES.into_iter().filter(|(time, _)| self.times.contains(time));
        let candidates: Vec<_> = candidates.filter(|(time, _)| names.get(*time).is_none()).collect();
        let some = campaigns.get(..1).unwrap_or_default();
        let tries = candidates.into_iter().map(|(time, name)| self.is_grouping(time, name, some)).collect::<Vec<_>>();
        let mut tried = stream::iter(tries).buffered(LIMITS.most_at_once());
        while missing(&names)
            && let Some(grouping) = tried.next().await
        {
            if let Some((time, name)) = grouping?
                && names.get(time).is_none()
            {
                *names.of(time) = Name::Proven(name);
            }
        }
        Ok((!missing(&names)).then_some(names))
    }

    /// The grouping, if its name is taken and gives what can be read as days or hours.
    async fn is_grouping(
        &self,
        time: Dimension,
        name: &'static str,
        ids: &[CompactString],
    ) -> Result<Option<(Dimension, &'static str)>, PlatformError> {
        let mut named = Names::default();
        *named.of(time) = Name::Proven(name);
        let api = Api { named, ..self.api.clone() };
        match api.nested("campaign", ids, &[time], &self.period).await {
            Ok(part) => Ok((!part.lines.is_empty()).then_some((time, name))),
            Err(error) if is_about_words(error.kind) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the first hours of a day come to by the clock of the world, and by the installation's own grouping.
    async fn proof(&self, api: &Api, day: Date, campaigns: &[CompactString]) -> Result<Proof, PlatformError> {
        let by_hour = self.times.contains(&Dimension::Hour);
        let mut windows = cut(&self.query.zone, DateRange::day(day), Grain::Hour)?;
        windows.retain(|window| !by_hour || window.hour < PROOF_HOURS);
        let real = async {
            let mut real = Metrics::ZERO;
            if let Some(stretch) = Window::joined(&windows) {
                let (rows, _) = api.entities("campaign", &stretch.wording()).await?;
                let asked = rows.iter().filter(|row| campaigns.iter().any(|id| *id == row.id));
                real = asked.fold(real, |sum, row| sum.add(&row.metrics));
            }
            Ok::<_, PlatformError>(real)
        };
        // Hours of all days are one in the report, so a day of its own shows what they are.
        let alone = async {
            if self.times.contains(&Dimension::Date) {
                return Ok::<_, PlatformError>(None);
            }
            let period = Wording::local(&self.query.zone, DateRange::day(day));
            let mut alone = Part::default();
            for ids in campaigns.chunks(IDS_PER_CALL) {
                alone.lines.extend(api.nested("campaign", ids, &self.times, &period).await?.lines);
            }
            Ok(Some(alone))
        };
        let (real, alone) = futures_util::try_join!(real, alone)?;
        Ok(Proof { day: DimensionValue::date(day), by_hour, real, alone })
    }
}

/// A stretch of a day, by itself and as it is grouped.
struct Proof {
    day: DimensionValue,
    by_hour: bool,
    /// What it comes to.
    real: Metrics,
    /// The day by its hours, where the report's own rows do not tell days apart.
    alone: Option<Part>,
}

impl Proof {
    fn holds(&self, all: &Part) -> bool {
        let part = self.alone.as_ref().unwrap_or(all);
        let is_in = |dimension: Dimension, value: &DimensionValue| match dimension {
            Dimension::Date => self.alone.is_some() || value.id == self.day.id,
            Dimension::Hour => !self.by_hour || value.id.parse::<u8>().is_ok_and(|hour| hour < PROOF_HOURS),
            _ => true,
        };
        let lines =
            part.lines.iter().filter(|line| line.values.iter().all(|(dimension, value)| is_in(*dimension, value)));
        let grouped = lines.fold(Metrics::ZERO, |sum, line| sum.add(&line.metrics));
        total::differences("Binom", &grouped, &self.real, &self.real).is_empty()
    }
}

/// What an installation says of words that it does not know: nothing tells that from other complaints.
const fn is_about_words(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BadResponse
            | ErrorKind::Unsupported
            | ErrorKind::NotThisPlatform
            | ErrorKind::Failing
            | ErrorKind::Inconsistent
    )
}
