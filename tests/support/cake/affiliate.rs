//! The affiliate's reports, newer and classic.

use super::*;

impl Cake {
    pub(super) fn newer(&self, path: &str, request: &Request) -> Reply {
        if let Some(refusal) = self.check_affiliate(request) {
            return refusal;
        }
        if path == "Lists/Currencies" {
            return match self.readings.currency_list {
                true => self.dress(&Self::currencies(), "Currency"),
                false => Reply::html(404),
            };
        }
        let (Some(start), Some(end)) =
            (request.param("start_date").and_then(moment), request.param("end_date").and_then(moment))
        else {
            return Reply::json(400, &serde_json::json!({ "Message": "The dates are not valid." }));
        };
        let asked = Asked { start, end, end_included: self.readings.end_included };
        let (lines, row) = match path {
            "Reports/CampaignSummary" => (self.campaign_lines(asked), "Campaign"),
            "Reports/DailySummary" => (self.day_lines(asked), "DailySummary"),
            "Reports/HourlySummary" => (self.hour_lines(asked), "HourlySummary"),
            "Reports/SubAffiliateSummary" => (self.sub_lines(asked), "SubAffiliate"),
            _ => return Reply::html(404),
        };
        if asked.days().len() > usize::try_from(self.readings.longest).expect("few days") {
            return Reply::json(400, &serde_json::json!({ "message": "Date Range Too Long", "success": false }));
        }
        let summary = (path == "Reports/CampaignSummary").then(|| self.summary(asked));
        self.dress(&self.page(request, lines, summary), row)
    }

    pub(super) fn dress(&self, envelope: &Envelope, row: &'static str) -> Reply {
        match self.readings.format {
            Format::Json => envelope.json(),
            Format::BareJson => envelope.bare_json(),
            Format::Xml => {
                envelope.xml(Names { root: "x_response", container: "data", row }, "http://schemas.example/affiliates")
            }
            Format::BareXml => envelope.bare_xml(row),
        }
    }

    pub(super) fn check_affiliate(&self, request: &Request) -> Option<Reply> {
        let id = request.param("affiliate_id");
        let known = request.param("api_key") == Some(AFFILIATE_KEY)
            && match id {
                Some(id) => id == AFFILIATE_ID,
                None => !self.readings.affiliate_id_needed,
            };
        let message = if id.is_none() { "Invalid Affiliate" } else { "Invalid API Key" };
        (!known).then(|| match self.readings.refusal {
            Refusal::InEnvelope => Reply::json(
                200,
                &serde_json::json!({ "row_count": 0, "success": false, "message": message, "data": null }),
            ),
            Refusal::Message(status) => Reply::json(status, &serde_json::json!({ "message": message })),
            Refusal::Silent(status) => Reply::text(status, "text/plain", ""),
        })
    }

    pub(super) fn classic_affiliate(&self, path: &str, request: &Request) -> Reply {
        let paging = ["start_at_row", "row_limit"];
        let (extra, names): (Vec<&str>, Names) = match path {
            "5/reports.asmx/CampaignSummary" => (
                ["sub_affiliate", "conversion_type", "sort_field", "sort_descending"]
                    .into_iter()
                    .chain(paging)
                    .collect(),
                CAMPAIGNS_XML,
            ),
            "3/reports.asmx/CampaignSummary" | "2/reports.asmx/CampaignSummary" => (paging.to_vec(), CAMPAIGNS_XML),
            "4/reports.asmx/SubAffiliateSummary" => (["site_offer_id"].into_iter().chain(paging).collect(), SUBS_XML),
            "3/reports.asmx/SubAffiliateSummary" | "2/reports.asmx/SubAffiliateSummary" => {
                (["offer_id"].into_iter().chain(paging).collect(), SUBS_XML)
            }
            "3/reports.asmx/DailySummary" => (vec!["site_offer_id"], DAYS_XML),
            "2/reports.asmx/DailySummary" => (vec!["offer_id"], DAYS_XML),
            "3/reports.asmx/HourlySummary" => (vec!["site_offer_id"], HOURS_XML),
            "2/reports.asmx/HourlySummary" => (vec!["offer_id"], HOURS_XML),
            _ => return unknown_method(path),
        };
        let declared: Vec<&str> =
            ["api_key", "affiliate_id", "start_date", "end_date"].into_iter().chain(extra).collect();
        let asked = match self.bind_window(request, &declared) {
            Ok(asked) => asked,
            Err(reply) => return reply,
        };
        if request.param("api_key") != Some(AFFILIATE_KEY) || request.param("affiliate_id") != Some(AFFILIATE_ID) {
            return refused_xml("Invalid API Key");
        }
        if asked.days().len() > usize::try_from(self.readings.longest).expect("few days") {
            return refused_xml("Date Range Too Long");
        }
        let namespace = "http://cakemarketing.com/affiliates/api/5/";
        match names.row {
            "campaign" => {
                self.page(request, self.campaign_lines(asked), Some(self.summary(asked))).xml(names, namespace)
            }
            "sub_affiliate" => self.page(request, self.sub_lines(asked), None).xml(names, namespace),
            "day" => self.whole(self.day_lines(asked)).xml(names, namespace),
            _ => self.whole(self.hour_lines(asked)).xml(names, namespace),
        }
    }

    pub(super) fn bind_window(&self, request: &Request, declared: &[&str]) -> Result<Asked, Reply> {
        bind(request, declared)?;
        let date = |name: &str| {
            let text = request.param(name).unwrap_or_default();
            moment(text).ok_or_else(|| cannot_convert(text, "System.DateTime"))
        };
        Ok(Asked { start: date("start_date")?, end: date("end_date")?, end_included: false })
    }

    pub(super) fn page(&self, request: &Request, lines: Vec<Line>, summary: Option<Line>) -> Envelope {
        let number = |name: &str| request.param(name).and_then(|value| value.parse::<usize>().ok()).unwrap_or_default();
        let total = lines.len();
        let limit = match number("row_limit") {
            0 => self.readings.page_cap,
            limit => limit.min(self.readings.page_cap),
        };
        let skipped = if self.readings.ignores_paging { 0 } else { number("start_at_row").saturating_sub(1) };
        let lines: Vec<Line> = lines.into_iter().skip(skipped).take(limit).collect();
        let row_count = match self.readings.row_count {
            RowCount::Total => Some(total),
            RowCount::Page => Some(lines.len()),
            RowCount::Absent => None,
        };
        Envelope { row_count, summary, lines }
    }

    pub(super) fn whole(&self, lines: Vec<Line>) -> Envelope {
        let row_count = (self.readings.row_count != RowCount::Absent).then_some(lines.len());
        Envelope { row_count, summary: None, lines }
    }

    pub(super) fn currencies() -> Envelope {
        let line = |id: u32, name: &str| {
            vec![
                field("currency_id", Value::Number(id.to_string())),
                field("currency_name", Value::Text(name.to_owned())),
            ]
        };
        Envelope { row_count: Some(2), summary: None, lines: vec![line(1, "US Dollar"), line(2, "Euro")] }
    }

    /// Which currency a campaign is paid in: its id and its symbol.
    pub(super) fn currency(&self, campaign: Campaign) -> (u32, &'static str) {
        if self.readings.euro && campaign.id == 5123 { (2, "€") } else { (1, "$") }
    }

    pub(super) fn own() -> impl Iterator<Item = Campaign> {
        CAMPAIGNS.into_iter().filter(|campaign| campaign.affiliate.0 == 42)
    }

    pub(super) fn campaign_lines(&self, asked: Asked) -> Vec<Line> {
        Self::own()
            .map(|campaign| {
                let prefix = if self.readings.renamed { "site_" } else { "" };
                let mut line = vec![
                    field(&format!("{prefix}offer_id"), Value::Number(campaign.offer.0.to_string())),
                    field(&format!("{prefix}offer_name"), Value::Text(campaign.offer.1.to_owned())),
                    field("campaign_id", Value::Number(campaign.id.to_string())),
                    field("vertical_name", Value::Text(String::new())),
                    field("price_format", Value::Text("CPA".to_owned())),
                    field("price", Value::Text("$12.50".to_owned())),
                ];
                line.extend(self.affiliate_numbers(sum_of(asked, [campaign]), self.currency(campaign)));
                line
            })
            .collect()
    }

    /// One line for each sub-id and currency that had traffic. Some links carry none.
    pub(super) fn sub_lines(&self, asked: Asked) -> Vec<Line> {
        let mut sums: BTreeMap<(&'static str, (u32, &'static str)), Numbers> = BTreeMap::new();
        for (day, hour) in hours_of(asked) {
            for campaign in Self::own() {
                let numbers = traffic(day, hour, campaign);
                if numbers != Numbers::default() {
                    sums.entry((sub_of(campaign), self.currency(campaign))).or_default().add(numbers);
                }
            }
        }
        let line = |((sub, currency), numbers): ((&str, (u32, &'static str)), Numbers)| {
            let mut line = vec![field("sub_id", Value::Text(sub.to_owned()))];
            line.extend(self.affiliate_numbers(numbers, currency));
            line
        };
        sums.into_iter().map(line).collect()
    }

    /// One line for each key and currency that had traffic.
    pub(super) fn timed_lines<K: Ord + Copy>(
        &self,
        hours: impl Iterator<Item = (Date, i8)>,
        key: impl Fn(Date, i8) -> K,
        label: impl Fn(K) -> Line,
    ) -> Vec<Line> {
        let mut sums: BTreeMap<(K, (u32, &'static str)), Numbers> = BTreeMap::new();
        for (day, hour) in hours {
            for campaign in Self::own() {
                let numbers = traffic(day, hour, campaign);
                if numbers != Numbers::default() {
                    sums.entry((key(day, hour), self.currency(campaign))).or_default().add(numbers);
                }
            }
        }
        sums.into_iter()
            .map(|((key, currency), numbers)| {
                let mut line = label(key);
                line.extend(self.affiliate_numbers(numbers, currency));
                line
            })
            .collect()
    }

    pub(super) fn day_lines(&self, asked: Asked) -> Vec<Line> {
        let mut days = asked.days();
        if self.readings.stray_days {
            days.insert(0, asked.start.date().yesterday().expect("a day"));
            days.push(asked.end.date().tomorrow().expect("a day"));
        }
        let hours = days.into_iter().flat_map(|day| (0..24).map(move |hour| (day, hour)));
        self.timed_lines(hours, |day, _| day, |day| vec![field("date", Value::Text(format!("{day}T00:00:00")))])
    }

    pub(super) fn hour_lines(&self, asked: Asked) -> Vec<Line> {
        let hours = hours_of(asked).into_iter();
        self.timed_lines(hours, |day, hour| (day, hour), |(day, hour)| self.hour_label(day, hour))
    }

    pub(super) fn hour_label(&self, day: Date, hour: i8) -> Line {
        let date = field("date", Value::Text(format!("{day}T00:00:00")));
        let stamp = Value::Text(format!("{day}T{hour:02}:00:00"));
        match self.readings.hour_label {
            HourLabel::Number => vec![date, field("hour", Value::Number(hour.to_string()))],
            HourLabel::Clock => vec![field("hour", Value::Text(format!("{hour:02}:00")))],
            HourLabel::HalfDay => {
                let (clock, half) = ((hour + 11) % 12 + 1, if hour < 12 { "AM" } else { "PM" });
                vec![date, field("hour", Value::Text(format!("{clock} {half}")))]
            }
            HourLabel::Stamp => vec![field("hour", stamp)],
            HourLabel::DateStamp => vec![field("date", stamp)],
        }
    }

    pub(super) fn summary(&self, asked: Asked) -> Line {
        let mut sum = sum_of(asked, Self::own());
        sum.clicks += self.readings.summary_off_by;
        let mut line = vec![
            field("clicks", self.count(sum.clicks)),
            field("conversions", self.count(sum.conversions)),
            field("conversion_rate", Value::Number("0.0316326530612244897959183673".to_owned())),
        ];
        line.push(field("revenue", self.money(sum.revenue, "$")));
        line
    }

    pub(super) fn affiliate_numbers(&self, numbers: Numbers, (id, symbol): (u32, &str)) -> Line {
        let renamed = |old: &'static str, new: &'static str| if self.readings.renamed { new } else { old };
        let mut line = vec![
            field(renamed("impressions", "views"), self.count(numbers.impressions)),
            field("clicks", self.count(numbers.clicks)),
            field(renamed("conversions", "macro_event_conversions"), self.count(numbers.conversions)),
            field("revenue", self.money(numbers.revenue, symbol)),
            field("revenue_converted", self.money(numbers.revenue * Decimal::new(11, 1), "$")),
            field("epc", Value::Null),
            field("currency_symbol", Value::Text(symbol.to_owned())),
            field("currency_symbol_converted", Value::Text("$".to_owned())),
        ];
        if self.readings.currency_list && self.readings.newer {
            line.push(field("currency_id", Value::Number(id.to_string())));
        }
        line
    }

    pub(super) fn count(&self, count: i64) -> Value {
        Value::Number(if self.readings.decimal_counts { format!("{count}.000000") } else { count.to_string() })
    }

    pub(super) fn money(&self, amount: Decimal, symbol: &str) -> Value {
        if !self.readings.money_with_symbol {
            return Value::Number(format!("{amount:.4}"));
        }
        let text = format!("{amount:.4}");
        let (whole, fraction) = text.split_once('.').expect("four places");
        let mut grouped = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        Value::Text(format!("{symbol}{grouped}.{fraction}"))
    }
}

pub(super) fn unknown_method(path: &str) -> Reply {
    let method = path.rsplit('/').next().unwrap_or_default();
    let text = format!("Request format is unrecognized for URL unexpectedly ending in '/{method}'.");
    Reply::text(500, "text/html", format!("<html><title>{text}</title><body>{text}</body></html>"))
}

pub(super) fn hours_of(asked: Asked) -> Vec<(Date, i8)> {
    let hours = asked.days().into_iter().flat_map(|day| (0..24).map(move |hour| (day, hour)));
    hours.filter(|(day, hour)| asked.has(*day, *hour)).collect()
}

pub(super) fn sum_of(asked: Asked, campaigns: impl IntoIterator<Item = Campaign>) -> Numbers {
    let hours = hours_of(asked);
    let mut sum = Numbers::default();
    for campaign in campaigns {
        hours.iter().for_each(|(day, hour)| sum.add(traffic(*day, *hour, campaign)));
    }
    sum
}

pub(super) const CAMPAIGNS_XML: Names =
    Names { root: "campaign_summary_response", container: "campaigns", row: "campaign" };
pub(super) const SUBS_XML: Names =
    Names { root: "sub_affiliate_summary_response", container: "sub_affiliates", row: "sub_affiliate" };
pub(super) const DAYS_XML: Names = Names { root: "daily_summary_response", container: "days", row: "day" };
pub(super) const HOURS_XML: Names = Names { root: "hourly_summary_response", container: "hours", row: "hour" };
