//! The reports that are read, and the forms in which networks have them.
//!
//! A network serves several generations of the same report side by side, or only some of them. Each list is in the
//! order of preference; a form that turns out to be missing gives way to the next one.

use super::api::{Form, Generation, Road};

const fn newer(path: &'static str, parameters: &'static [(&'static str, &'static str)]) -> Form {
    Form { generation: Generation::Newer, path, parameters, paged: true }
}

const fn paged(path: &'static str, parameters: &'static [(&'static str, &'static str)]) -> Form {
    Form { generation: Generation::Classic, path, parameters, paged: true }
}

const fn whole(path: &'static str, parameters: &'static [(&'static str, &'static str)]) -> Form {
    Form { generation: Generation::Classic, path, parameters, paged: false }
}

/// One row a campaign; an affiliate has one campaign for each offer it runs.
pub(super) fn affiliate_campaigns(classic: bool) -> Road {
    const FORMS: &[Form] = &[
        newer("affiliates/api/Reports/CampaignSummary", &[("conversion_type", "all"), ("format", "json")]),
        paged(
            "affiliates/api/5/reports.asmx/CampaignSummary",
            &[
                ("sub_affiliate", ""),
                ("conversion_type", "all"),
                ("sort_field", "offer_id"),
                ("sort_descending", "FALSE"),
            ],
        ),
        paged("affiliates/api/3/reports.asmx/CampaignSummary", &[]),
        paged("affiliates/api/2/reports.asmx/CampaignSummary", &[]),
    ];
    Road::new(FORMS, &["campaign", "campaignsummary"], classic)
}

/// One row for each sub-id that links carried.
pub(super) fn affiliate_subs(classic: bool) -> Road {
    const FORMS: &[Form] = &[
        newer("affiliates/api/Reports/SubAffiliateSummary", &[("conversion_type", "all"), ("format", "json")]),
        paged("affiliates/api/4/reports.asmx/SubAffiliateSummary", &[("site_offer_id", "0")]),
        paged("affiliates/api/3/reports.asmx/SubAffiliateSummary", &[("offer_id", "0")]),
        paged("affiliates/api/2/reports.asmx/SubAffiliateSummary", &[("offer_id", "0")]),
    ];
    Road::new(FORMS, &["subaffiliate", "subaffiliatesummary"], classic)
}

/// One row a day.
pub(super) fn affiliate_days(classic: bool) -> Road {
    const FORMS: &[Form] = &[
        newer("affiliates/api/Reports/DailySummary", &[("format", "json")]),
        whole("affiliates/api/3/reports.asmx/DailySummary", &[("site_offer_id", "0")]),
        whole("affiliates/api/2/reports.asmx/DailySummary", &[("offer_id", "0")]),
    ];
    Road::new(FORMS, &["day", "dailysummary"], classic)
}

/// One row an hour.
pub(super) fn affiliate_hours(classic: bool) -> Road {
    const FORMS: &[Form] = &[
        newer("affiliates/api/Reports/HourlySummary", &[("format", "json")]),
        whole("affiliates/api/3/reports.asmx/HourlySummary", &[("site_offer_id", "0")]),
        whole("affiliates/api/2/reports.asmx/HourlySummary", &[("offer_id", "0")]),
    ];
    Road::new(FORMS, &["hour", "hourlysummary"], classic)
}

/// One row an affiliate.
pub(super) fn admin_affiliates() -> Road {
    const FORMS: &[Form] = &[
        whole(
            "api/3/reports.asmx/SourceAffiliateSummary",
            &[
                ("source_affiliate_id", "0"),
                ("source_affiliate_manager_id", "0"),
                ("source_affiliate_tag_id", "0"),
                ("site_offer_tag_id", "0"),
                ("event_id", "0"),
                ("event_type", "all"),
            ],
        ),
        whole(
            "api/2/reports.asmx/AffiliateSummary",
            &[
                ("affiliate_id", "0"),
                ("affiliate_manager_id", "0"),
                ("affiliate_tag_id", "0"),
                ("offer_tag_id", "0"),
                ("event_id", "0"),
                ("revenue_filter", "conversions_and_events"),
            ],
        ),
    ];
    Road::new(FORMS, &["sourceaffiliatesummary", "affiliatesummary"], false)
}

/// The parameters of both older versions.
const OFFER_SUMMARY: &[(&str, &str)] = &[
    ("advertiser_id", "0"),
    ("advertiser_manager_id", "0"),
    ("offer_id", "0"),
    ("offer_tag_id", "0"),
    ("affiliate_tag_id", "0"),
    ("event_id", "0"),
    ("revenue_filter", "conversions_and_events"),
];

/// One row an offer.
pub(super) fn admin_offers() -> Road {
    const FORMS: &[Form] = &[
        whole(
            "api/4/reports.asmx/SiteOfferSummary",
            &[
                ("brand_advertiser_id", "0"),
                ("brand_advertiser_manager_id", "0"),
                ("site_offer_id", "0"),
                ("site_offer_tag_id", "0"),
                ("source_affiliate_tag_id", "0"),
                ("event_id", "0"),
                ("event_type", "all"),
            ],
        ),
        whole("api/3/reports.asmx/OfferSummary", OFFER_SUMMARY),
        whole("api/2/reports.asmx/OfferSummary", OFFER_SUMMARY),
    ];
    Road::new(FORMS, &["siteoffersummary", "offersummary"], false)
}

const CAMPAIGN_SUMMARY: Form = whole(
    "api/5/reports.asmx/CampaignSummary",
    &[
        ("campaign_id", "0"),
        ("source_affiliate_id", "0"),
        ("subid_id", ""),
        ("site_offer_id", "0"),
        ("source_affiliate_tag_id", "0"),
        ("site_offer_tag_id", "0"),
        ("source_affiliate_manager_id", "0"),
        ("brand_advertiser_manager_id", "0"),
        ("event_id", "0"),
        ("event_type", "all"),
    ],
);

/// One row an advertiser, or failing that one a campaign, which names its advertiser too.
pub(super) fn admin_advertisers() -> Road {
    const FORMS: &[Form] = &[
        whole(
            "api/3/reports.asmx/BrandAdvertiserSummary",
            &[
                ("brand_advertiser_id", "0"),
                ("brand_advertiser_manager_id", "0"),
                ("brand_advertiser_tag_id", "0"),
                ("event_id", "0"),
                ("event_type", "all"),
            ],
        ),
        CAMPAIGN_SUMMARY,
    ];
    Road::new(FORMS, &["brandadvertisersummary", "advertisersummary", "campaignsummary"], false)
}

/// One row a campaign, which is one affiliate's contract for one offer: it names affiliate, offer and advertiser.
pub(super) fn admin_campaigns() -> Road {
    const FORMS: &[Form] = &[CAMPAIGN_SUMMARY];
    Road::new(FORMS, &["campaignsummary"], false)
}

/// One row a day, as a bare list.
pub(super) fn admin_days() -> Road {
    const FORMS: &[Form] = &[
        whole(
            "api/2/reports.asmx/DailySummaryExport",
            &[
                ("source_affiliate_id", "0"),
                ("brand_advertiser_id", "0"),
                ("site_offer_id", "0"),
                ("vertical_id", "0"),
                ("campaign_id", "0"),
                ("creative_id", "0"),
                ("account_manager_id", "0"),
                ("include_tests", "FALSE"),
            ],
        ),
        whole(
            "api/1/reports.asmx/DailySummaryExport",
            &[
                ("affiliate_id", "0"),
                ("advertiser_id", "0"),
                ("offer_id", "0"),
                ("vertical_id", "0"),
                ("campaign_id", "0"),
                ("creative_id", "0"),
                ("account_manager_id", "0"),
                ("include_tests", "FALSE"),
            ],
        ),
    ];
    Road::new(FORMS, &["dailysummary", "day"], false)
}
