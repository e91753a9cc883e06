//! The made-up network: who sends which traffic where.
//!
//! The cast is fixed and small; a connection only differs from another in how much traffic each [`Route`] carries.
//! Names are written in many scripts on purpose, so that developers on this service meet them early.
//!
//! The order of [`ROUTES`] is part of what past numbers are made from: new routes go to the end.

use compact_str::CompactString;

use super::super::stats::{Dimension, DimensionValue, SubId};

/// Anything with an id and a name.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
}

impl Entity {
    /// The entity as a row shows it.
    pub(super) const fn value(&self) -> DimensionValue {
        DimensionValue { id: CompactString::const_new(self.id), name: CompactString::const_new(self.name) }
    }
}

/// What visitors are sent to, and what a conversion is worth. Money is in ten-thousandths of the currency.
#[derive(Debug)]
pub(super) struct Offer {
    entity: Entity,
    advertiser: &'static Entity,
    network: &'static Entity,
    pub(super) currency: &'static str,
    /// What the advertiser owes for an approved conversion.
    pub(super) charge: i64,
    /// What the affiliate is owed for it; always less.
    pub(super) payout: i64,
    /// Conversions per million unique clicks.
    pub(super) conversions_ppm: i64,
}

/// A way of buying traffic. Money is in ten-thousandths of the offer's currency.
#[derive(Debug)]
pub(super) struct Campaign {
    entity: Entity,
    traffic_source: &'static Entity,
    /// The price of a click.
    pub(super) click_cost: i64,
    /// Clicks per million impressions.
    pub(super) clicks_ppm: i64,
    /// The creative that its links name, if any.
    creative: &'static str,
    /// The keyword that its links name, if any.
    keyword: &'static str,
}

/// Where visitors are, and so when they are awake.
#[derive(Debug)]
pub(super) struct Country {
    entity: Entity,
    /// How far its clocks run ahead of UTC, in quarters of an hour; summer time plays no part.
    pub(super) quarters_ahead: i64,
}

/// One stream of traffic: the finest thing that is counted.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) affiliate: &'static Entity,
    pub(super) offer: &'static Offer,
    pub(super) campaign: &'static Campaign,
    pub(super) country: &'static Country,
    /// Impressions in a quarter of a busy hour, before chance and the connection have their say.
    pub(super) impressions: i64,
}

impl Route {
    /// What the route is on a dimension; `None` where the dimension is one of time.
    pub(super) const fn entity(&self, dimension: Dimension) -> Option<&'static Entity> {
        match dimension {
            Dimension::Date | Dimension::Week | Dimension::Month | Dimension::Hour | Dimension::Sub(_) => None,
            Dimension::Affiliate => Some(self.affiliate),
            Dimension::Offer => Some(&self.offer.entity),
            Dimension::Advertiser => Some(self.offer.advertiser),
            Dimension::Campaign => Some(&self.campaign.entity),
            Dimension::TrafficSource => Some(self.campaign.traffic_source),
            Dimension::AffiliateNetwork => Some(self.offer.network),
            Dimension::Country => Some(&self.country.entity),
        }
    }

    /// What its links carry in a sub-id; blank where they carry nothing.
    pub(super) const fn sub_id(&self, number: SubId) -> &'static str {
        match number.number() {
            1 => self.campaign.creative,
            2 => self.campaign.traffic_source.id,
            3 => self.country.entity.id,
            4 => self.affiliate.id,
            5 => self.offer.entity.id,
            6 => self.campaign.keyword,
            _ => "",
        }
    }
}

const fn entity(id: &'static str, name: &'static str) -> Entity {
    Entity { id, name }
}

const fn country(id: &'static str, name: &'static str, quarters_ahead: i64) -> Country {
    Country { entity: entity(id, name), quarters_ahead }
}

const fn route(
    affiliate: &'static Entity,
    offer: &'static Offer,
    campaign: &'static Campaign,
    country: &'static Country,
    impressions: i64,
) -> Route {
    Route { affiliate, offer, campaign, country, impressions }
}

static NORTH_WIND: Entity = entity("5001", "Nordwind Verlag & Söhne");
static NORTHERN_TRAFFIC: Entity = entity("5002", "Северный трафик");
static OLIVE_GROVE: Entity = entity("5003", "Ελαιώνας Μέσα");
static OASIS: Entity = entity("5004", "واحة الإعلانات");
static ORCHARD: Entity = entity("5005", "פרדס מדיה");
static SAKURA: Entity = entity("5006", "桜メディア");
static LOTUS: Entity = entity("5007", "कमल मीडिया");
static BLUE_HERON: Entity = entity("5008", "Blue Heron \"Reviews\", Ltd.");

/// The affiliates; an affiliate connection is one of them.
pub(super) static AFFILIATES: [&Entity; 8] =
    [&NORTH_WIND, &NORTHERN_TRAFFIC, &OLIVE_GROVE, &OASIS, &ORCHARD, &SAKURA, &LOTUS, &BLUE_HERON];

static HARBOUR: Entity = entity("31", "Harbour Insurance");
static LANTERN: Entity = entity("32", "灯笼游戏");
static SAFFRON: Entity = entity("33", "केसर बाज़ार");
static ALPINE: Entity = entity("34", "Älpli Käse AG");

static MERIDIAN: Entity = entity("n1", "Meridian Partners");
static ZENITH: Entity = entity("n2", "Ζενίθ Δίκτυο");
static STEPPE: Entity = entity("n3", "Степь Партнёры");

static SEARCH: Entity = entity("s1", "Search ads");
static SOCIAL: Entity = entity("s2", "Social feed");
static NATIVE: Entity = entity("s3", "Native widgets");
static PUSH: Entity = entity("s4", "Push notifications");

static QUOTE: Offer = Offer {
    entity: entity("701", "Travel insurance quote"),
    advertiser: &HARBOUR,
    network: &MERIDIAN,
    currency: "USD",
    charge: 240_000,
    payout: 175_000,
    conversions_ppm: 31_000,
};
static PUZZLE: Offer = Offer {
    entity: entity("702", "灯笼解谜 (install)"),
    advertiser: &LANTERN,
    network: &ZENITH,
    currency: "USD",
    charge: 31_250,
    payout: 22_375,
    conversions_ppm: 92_000,
};
static SPICES: Offer = Offer {
    entity: entity("703", "मसाले की पहली ख़रीद"),
    advertiser: &SAFFRON,
    network: &STEPPE,
    currency: "USD",
    charge: 87_500,
    payout: 61_250,
    conversions_ppm: 47_000,
};
static CHEESE: Offer = Offer {
    entity: entity("704", "Käse-Abo: 3 Monate"),
    advertiser: &ALPINE,
    network: &MERIDIAN,
    currency: "EUR",
    charge: 152_500,
    payout: 104_975,
    conversions_ppm: 38_000,
};
static CARD: Offer = Offer {
    entity: entity("705", "بطاقة السفر"),
    advertiser: &HARBOUR,
    network: &ZENITH,
    currency: "USD",
    charge: 410_000,
    payout: 318_500,
    conversions_ppm: 19_000,
};

static BRAND_SEARCH: Campaign = Campaign {
    entity: entity("c11", "Brand search"),
    traffic_source: &SEARCH,
    click_cost: 2_150,
    clicks_ppm: 61_000,
    creative: "headline-a",
    keyword: "travel, insurance",
};
static LONG_TAIL: Campaign = Campaign {
    entity: entity("c12", "Длинный хвост"),
    traffic_source: &SEARCH,
    click_cost: 1_340,
    clicks_ppm: 44_000,
    creative: "headline-b",
    keyword: "страховка \\ онлайн",
};
static LOOKALIKE: Campaign = Campaign {
    entity: entity("c21", "Lookalike 2 %"),
    traffic_source: &SOCIAL,
    click_cost: 1_725,
    clicks_ppm: 23_000,
    creative: "video 15s",
    keyword: "",
};
static RETARGETING: Campaign = Campaign {
    entity: entity("c22", "リターゲティング"),
    traffic_source: &SOCIAL,
    click_cost: 985,
    clicks_ppm: 35_000,
    creative: "карусель",
    keyword: "",
};
static STORIES: Campaign = Campaign {
    entity: entity("c31", "סיפורי לקוחות"),
    traffic_source: &NATIVE,
    click_cost: 640,
    clicks_ppm: 17_000,
    creative: "",
    keyword: "",
};
static WAKE_UP: Campaign = Campaign {
    entity: entity("c41", "Wake-up push"),
    traffic_source: &PUSH,
    click_cost: 215,
    clicks_ppm: 28_000,
    creative: "",
    keyword: "",
};

static GERMANY: Country = country("DE", "Germany", 4);
static BRITAIN: Country = country("GB", "United Kingdom", 0);
static STATES: Country = country("US", "United States", -20);
static BRAZIL: Country = country("BR", "Brazil", -12);
static GREECE: Country = country("GR", "Greece", 8);
static ISRAEL: Country = country("IL", "Israel", 8);
static EMIRATES: Country = country("AE", "United Arab Emirates", 16);
static KAZAKHSTAN: Country = country("KZ", "Kazakhstan", 20);
static INDIA: Country = country("IN", "India", 22);
static JAPAN: Country = country("JP", "Japan", 36);

/// All the traffic there is.
pub(super) static ROUTES: [Route; 24] = [
    route(&NORTH_WIND, &CHEESE, &BRAND_SEARCH, &GERMANY, 320),
    route(&NORTH_WIND, &QUOTE, &LONG_TAIL, &GERMANY, 260),
    route(&NORTH_WIND, &QUOTE, &LOOKALIKE, &BRITAIN, 180),
    route(&NORTHERN_TRAFFIC, &PUZZLE, &WAKE_UP, &KAZAKHSTAN, 540),
    route(&NORTHERN_TRAFFIC, &SPICES, &LONG_TAIL, &KAZAKHSTAN, 140),
    route(&NORTHERN_TRAFFIC, &CARD, &STORIES, &EMIRATES, 210),
    route(&OLIVE_GROVE, &QUOTE, &BRAND_SEARCH, &GREECE, 150),
    route(&OLIVE_GROVE, &CHEESE, &STORIES, &GREECE, 230),
    route(&OLIVE_GROVE, &CARD, &LOOKALIKE, &BRITAIN, 120),
    route(&OASIS, &CARD, &BRAND_SEARCH, &EMIRATES, 280),
    route(&OASIS, &SPICES, &RETARGETING, &EMIRATES, 170),
    route(&OASIS, &PUZZLE, &WAKE_UP, &INDIA, 610),
    route(&ORCHARD, &QUOTE, &STORIES, &ISRAEL, 190),
    route(&ORCHARD, &PUZZLE, &LOOKALIKE, &ISRAEL, 160),
    route(&ORCHARD, &CARD, &RETARGETING, &STATES, 130),
    route(&SAKURA, &PUZZLE, &RETARGETING, &JAPAN, 430),
    route(&SAKURA, &SPICES, &BRAND_SEARCH, &JAPAN, 110),
    route(&SAKURA, &QUOTE, &LONG_TAIL, &STATES, 240),
    route(&LOTUS, &SPICES, &WAKE_UP, &INDIA, 720),
    route(&LOTUS, &PUZZLE, &STORIES, &INDIA, 350),
    route(&LOTUS, &CARD, &LONG_TAIL, &BRITAIN, 90),
    route(&BLUE_HERON, &QUOTE, &BRAND_SEARCH, &STATES, 460),
    route(&BLUE_HERON, &CHEESE, &LOOKALIKE, &BRITAIN, 140),
    route(&BLUE_HERON, &PUZZLE, &LOOKALIKE, &BRAZIL, 380),
];

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn an_id_has_one_name_on_its_dimension() {
        for dimension in Dimension::ALL {
            let mut names = HashMap::new();
            for entity in ROUTES.iter().filter_map(|route| route.entity(dimension)) {
                assert_eq!(*names.entry(entity.id).or_insert(entity.name), entity.name, "{dimension}");
            }
        }
    }

    #[test]
    fn every_affiliate_has_traffic_and_every_conversion_leaves_a_margin() {
        for affiliate in AFFILIATES {
            assert!(ROUTES.iter().any(|route| route.affiliate.id == affiliate.id), "{}", affiliate.name);
        }
        assert!(ROUTES.iter().all(|route| route.offer.payout < route.offer.charge));
    }

    #[test]
    fn names_come_in_many_scripts() {
        let names: String = Dimension::ALL
            .iter()
            .flat_map(|dimension| ROUTES.iter().filter_map(|route| route.entity(*dimension)))
            .map(|entity| entity.name)
            .collect();
        for (script, letters) in [
            ("Latin", 'a'..='z'),
            ("Greek", 'α'..='ω'),
            ("Cyrillic", 'а'..='я'),
            ("Hebrew", 'א'..='ת'),
            ("Arabic", 'ا'..='ي'),
            ("Devanagari", 'अ'..='ह'),
            ("Katakana", 'ァ'..='ヺ'),
            ("Han", '一'..='鿿'),
        ] {
            assert!(names.chars().any(|letter| letters.contains(&letter)), "{script}");
        }
    }
}
