//! The network's reports.

use super::*;

impl Cake {
    pub(super) fn admin(&self, path: &str, request: &Request) -> Reply {
        let Some(report) = ADMIN_REPORTS.iter().find(|report| report.path == path) else { return unknown_method(path) };
        let declared: Vec<&str> =
            ["api_key", "start_date", "end_date"].into_iter().chain(report.declared.iter().copied()).collect();
        let asked = match self.bind_window(request, &declared) {
            Ok(asked) => asked,
            Err(reply) => return reply,
        };
        let known = request.param("api_key") == Some(ADMIN_KEY);
        if report.names.container.is_empty() {
            return match (known, self.readings.bare_refusal) {
                (true, _) => self.whole(self.network_day_lines(asked)).bare_xml("DailySummary"),
                (false, true) => self.whole(Vec::new()).bare_xml("DailySummary"),
                (false, false) => unbound("Invalid API Key".to_owned()),
            };
        }
        if !known {
            return refused_xml("Invalid API Key");
        }
        if asked.days().len() > usize::try_from(self.readings.longest).expect("few days") {
            return refused_xml("Date Range Too Long");
        }
        for (name, known) in FILTERS {
            let id = request.param(name).filter(|_| report.declared.contains(&name)).unwrap_or("0");
            if id != "0" && !CAMPAIGNS.iter().any(|campaign| known(*campaign).to_string() == id) {
                return refused_xml(&format!("Invalid {name}"));
            }
        }
        let envelope = self.whole(self.network_lines(asked, report, request));
        envelope.xml(report.names, "http://cakemarketing.com/api/4/")
    }

    pub(super) fn network_lines(&self, asked: Asked, report: &AdminReport, request: &Request) -> Vec<Line> {
        let passes = |campaign: &Campaign| {
            FILTERS.iter().filter(|(name, _)| report.declared.contains(name)).all(|(name, id)| {
                request.param(name).is_none_or(|wanted| wanted == "0" || wanted == id(*campaign).to_string())
            })
        };
        let mut groups: BTreeMap<u32, Vec<Campaign>> = BTreeMap::new();
        for campaign in CAMPAIGNS.into_iter().filter(passes) {
            groups.entry((report.group)(campaign)).or_default().push(campaign);
        }
        groups
            .into_values()
            .map(|campaigns| {
                let mut line = (report.label)(campaigns[0]);
                line.extend(self.network_numbers(sum_of(asked, campaigns), report.newer));
                line
            })
            .collect()
    }

    pub(super) fn network_day_lines(&self, asked: Asked) -> Vec<Line> {
        let mut days: BTreeMap<Date, Numbers> = BTreeMap::new();
        for (day, hour) in hours_of(asked) {
            for campaign in CAMPAIGNS {
                days.entry(day).or_default().add(traffic(day, hour, campaign));
            }
        }
        days.into_iter()
            .map(|(day, numbers)| {
                let mut line = vec![field("date", Value::Text(format!("{day}T00:00:00")))];
                line.extend(self.network_numbers(numbers, false));
                line
            })
            .collect()
    }

    pub(super) fn network_numbers(&self, numbers: Numbers, newer: bool) -> Line {
        let conversions = match newer {
            true => field("macro_event_conversions", Value::Number(format!("{}.000000", numbers.conversions))),
            false => field("conversions", self.count(numbers.conversions)),
        };
        vec![
            field("views", self.count(numbers.impressions)),
            field("clicks", self.count(numbers.clicks)),
            conversions,
            field("micro_events", Value::Number("0.000000".to_owned())),
            field("pending", self.count(numbers.pending)),
            field("rejected", self.count(numbers.rejected)),
            field("approved", self.count(numbers.approved)),
            field("returned", self.count(numbers.returned)),
            field("cost", self.money(numbers.cost, "$")),
            field("revenue", self.money(numbers.revenue, "$")),
            field("profit", self.money(numbers.revenue - numbers.cost, "")),
        ]
    }
}

/// Which id of a campaign is meant.
pub(super) type IdOf = fn(Campaign) -> u32;

/// The parameters that reports can be filtered by.
pub(super) const FILTERS: [(&str, IdOf); 7] = [
    ("source_affiliate_id", |campaign| campaign.affiliate.0),
    ("affiliate_id", |campaign| campaign.affiliate.0),
    ("site_offer_id", |campaign| campaign.offer.0),
    ("offer_id", |campaign| campaign.offer.0),
    ("brand_advertiser_id", |campaign| campaign.advertiser.0),
    ("advertiser_id", |campaign| campaign.advertiser.0),
    ("campaign_id", |campaign| campaign.id),
];

pub(super) struct AdminReport {
    pub(super) path: &'static str,
    pub(super) declared: &'static [&'static str],
    /// Without a container: a bare list.
    pub(super) names: Names,
    pub(super) group: IdOf,
    pub(super) label: fn(Campaign) -> Line,
    pub(super) newer: bool,
}

pub(super) const ADMIN_REPORTS: &[AdminReport] = &[
    AdminReport {
        path: "5/reports.asmx/CampaignSummary",
        declared: &[
            "campaign_id",
            "source_affiliate_id",
            "subid_id",
            "site_offer_id",
            "source_affiliate_tag_id",
            "site_offer_tag_id",
            "source_affiliate_manager_id",
            "brand_advertiser_manager_id",
            "event_id",
            "event_type",
        ],
        names: Names { root: "campaign_summary_response", container: "campaigns", row: "campaign_summary" },
        group: |campaign| campaign.id,
        label: |campaign| {
            vec![
                pair("campaign", (campaign.id, "")),
                pair("source_affiliate", campaign.affiliate),
                pair("site_offer", campaign.offer),
                pair("brand_advertiser", campaign.advertiser),
            ]
        },
        newer: true,
    },
    AdminReport {
        path: "3/reports.asmx/SourceAffiliateSummary",
        declared: &[
            "source_affiliate_id",
            "source_affiliate_manager_id",
            "source_affiliate_tag_id",
            "site_offer_tag_id",
            "event_id",
            "event_type",
        ],
        names: Names {
            root: "source_affiliate_summary_response",
            container: "source_affiliates",
            row: "source_affiliate_summary",
        },
        group: |campaign| campaign.affiliate.0,
        label: |campaign| vec![pair("source_affiliate", campaign.affiliate)],
        newer: true,
    },
    AdminReport {
        path: "2/reports.asmx/AffiliateSummary",
        declared: &[
            "affiliate_id",
            "affiliate_manager_id",
            "affiliate_tag_id",
            "offer_tag_id",
            "event_id",
            "revenue_filter",
        ],
        names: Names { root: "affiliate_summary_response", container: "affiliates", row: "affiliate_summary" },
        group: |campaign| campaign.affiliate.0,
        label: |campaign| vec![pair("affiliate", campaign.affiliate)],
        newer: false,
    },
    AdminReport {
        path: "4/reports.asmx/SiteOfferSummary",
        declared: &[
            "brand_advertiser_id",
            "brand_advertiser_manager_id",
            "site_offer_id",
            "site_offer_tag_id",
            "source_affiliate_tag_id",
            "event_id",
            "event_type",
        ],
        names: Names {
            root: "site_offer_summary_report_response",
            container: "site_offers",
            row: "site_offer_summary",
        },
        group: |campaign| campaign.offer.0,
        label: |campaign| vec![pair("site_offer", campaign.offer)],
        newer: true,
    },
    AdminReport {
        path: "3/reports.asmx/OfferSummary",
        declared: &[
            "advertiser_id",
            "advertiser_manager_id",
            "offer_id",
            "offer_tag_id",
            "affiliate_tag_id",
            "event_id",
            "revenue_filter",
        ],
        names: Names { root: "offer_summary_report_response", container: "offers", row: "offer_summary" },
        group: |campaign| campaign.offer.0,
        label: |campaign| vec![pair("offer", campaign.offer)],
        newer: false,
    },
    AdminReport {
        path: "3/reports.asmx/BrandAdvertiserSummary",
        declared: &[
            "brand_advertiser_id",
            "brand_advertiser_manager_id",
            "brand_advertiser_tag_id",
            "event_id",
            "event_type",
        ],
        names: Names {
            root: "brand_advertiser_summary_response",
            container: "brand_advertisers",
            row: "brand_advertiser_summary",
        },
        group: |campaign| campaign.advertiser.0,
        label: |campaign| vec![pair("brand_advertiser", campaign.advertiser)],
        newer: true,
    },
    AdminReport {
        path: "2/reports.asmx/DailySummaryExport",
        declared: &[
            "source_affiliate_id",
            "brand_advertiser_id",
            "site_offer_id",
            "vertical_id",
            "campaign_id",
            "creative_id",
            "account_manager_id",
            "include_tests",
        ],
        names: Names { root: "", container: "", row: "" },
        group: |_| 0,
        label: |_| Vec::new(),
        newer: false,
    },
    AdminReport {
        path: "1/reports.asmx/DailySummaryExport",
        declared: &[
            "affiliate_id",
            "advertiser_id",
            "offer_id",
            "vertical_id",
            "campaign_id",
            "creative_id",
            "account_manager_id",
            "include_tests",
        ],
        names: Names { root: "", container: "", row: "" },
        group: |_| 0,
        label: |_| Vec::new(),
        newer: false,
    },
];
