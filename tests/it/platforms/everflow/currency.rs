//! The currency that amounts are asked for in.

use super::*;

async fn asked(regions: &Regions, pair: Pair, currency: Option<&str>) -> (String, Vec<&'static str>) {
    let road = regions.road(pair, key_of(pair));
    let with_currency = currency.into_iter().fold(road, |road, code| road.with_setting("currency", code));
    let query = query(&[Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
    let pulled = with_currency.pull(&query).await.expect("a report");
    let sent = regions.reports().last().expect("a report")["currency_id"].clone();
    assert!(pulled.rows.iter().all(|row| row.currency.is_some_and(|currency| sent == currency.as_str())));
    (sent.as_str().expect("a code").to_owned(), pulled.codes())
}

#[tokio::test]
async fn amounts_are_asked_in_the_configured_currency_then_in_the_accounts_own() {
    for pair in [Pair::EverflowAdmin, Pair::EverflowAffiliate] {
        let regions = Regions::of(Everflow { default_currency: Some("EUR"), ..Everflow::default() });
        assert_eq!(asked(&regions, pair, Some("USD")).await, ("USD".to_owned(), vec![]));
        assert_eq!(asked(&regions, pair, None).await, ("EUR".to_owned(), vec![]));
        let regions = Regions::of(Everflow { default_currency: None, ..Everflow::default() });
        assert_eq!(asked(&regions, pair, None).await, ("USD".to_owned(), vec!["currency_not_configured"]));
    }
}

#[tokio::test]
async fn a_currency_the_network_does_not_have_is_refused_in_its_own_words() {
    let regions = Regions::of(Everflow::default());
    let in_gold = regions.road(Pair::EverflowAdmin, NETWORK_KEY).with_setting("currency", "XAU");
    let query = query(&[Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
    let error = in_gold.pull(&query).await.expect_err("no such currency");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("currency_id is not valid"), "{}", error.detail);
}
