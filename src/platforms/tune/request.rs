//! A report's request: the form that is posted.

use form_urlencoded::Serializer;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::super::calendar::DateRange;
use super::super::kind::ConnectionType;
use super::columns::DATE;

/// Rows asked for at once, and what is tried where a network takes fewer. Clients ask for a thousand to two million.
pub(super) const ROWS_PER_PAGE: &[u32] = &[5_000, 1_000, 500, 100, 25];

/// Everything but whose key it is asked with.
#[derive(Debug, Clone)]
pub(super) struct ReportRequest<'a> {
    /// The columns that rows are told apart by; the report is in their order.
    pub(super) ids: Vec<&'static str>,
    /// The names beside them.
    pub(super) names: Vec<&'static str>,
    pub(super) metrics: Vec<&'static str>,
    /// Days as the report has them, both ends included.
    pub(super) days: DateRange,
    /// The hours by which the network's days are moved.
    pub(super) hour_offset: i64,
    /// Columns, and the ids of which they must have one.
    pub(super) filters: &'a [(&'static str, Vec<&'a str>)],
    pub(super) limit: usize,
    pub(super) page: usize,
}

/// The method's class and the key's parameter, which tell the portals apart.
const fn address_of(portal: ConnectionType) -> (&'static str, &'static str) {
    match portal {
        ConnectionType::Admin => ("Report", "NetworkToken"),
        ConnectionType::Affiliate => ("Affiliate_Report", "api_key"),
    }
}

impl ReportRequest<'_> {
    /// The body to post. It is wiped when it is dropped.
    pub(super) fn form(&self, portal: ConnectionType, key: &SecretString) -> Zeroizing<Vec<u8>> {
        let (target, key_name) = address_of(portal);
        let key = key.expose_secret().trim();
        let (first, last) = (self.days.from().to_string(), self.days.to().to_string());
        let mut form = Serializer::new(String::new());
        form.append_pair("Target", target).append_pair("Method", "getStats");
        // Whether a column that is asked for without being grouped by splits rows is documented nowhere.
        for column in self.ids.iter().chain(&self.names) {
            form.append_pair("fields[]", column).append_pair("groups[]", column);
        }
        for metric in &self.metrics {
            form.append_pair("fields[]", metric);
        }
        let mut filter = |column: &str, conditional: &str, values: &[&str]| {
            form.append_pair(&format!("filters[{column}][conditional]"), conditional);
            for value in values {
                form.append_pair(&format!("filters[{column}][values][]"), value);
            }
        };
        filter(DATE, "BETWEEN", &[&first, &last]);
        for (column, ids) in self.filters {
            filter(column, "EQUAL_TO", ids);
        }
        if self.hour_offset != 0 {
            form.append_pair("data_start", &first).append_pair("data_end", &last);
            form.append_pair("hour_offset", &self.hour_offset.to_string());
        }
        for column in &self.ids {
            form.append_pair(&format!("sort[{column}]"), "asc");
        }
        form.append_pair("limit", &self.limit.to_string()).append_pair("page", &self.page.to_string());
        form.append_pair("totals", "1");
        let mut body = form.finish();
        // The key comes last and into room that is there already, so that no copy of it is left behind.
        body.reserve_exact(key_name.len() + 2 + 3 * key.len());
        body.push('&');
        body.push_str(key_name);
        body.push('=');
        body.extend(form_urlencoded::byte_serialize(key.as_bytes()));
        Zeroizing::new(body.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::columns::{CLICKS, CURRENCY, OFFER};
    use super::*;

    #[test]
    fn a_request_says_the_same_columns_twice_and_its_key_once() {
        let request = ReportRequest {
            ids: vec![OFFER, CURRENCY],
            names: vec!["Offer.name"],
            metrics: vec![CLICKS],
            days: DateRange::day(date(2026, 11, 16)),
            hour_offset: -5,
            filters: &[("Stat.affiliate_id", vec!["7", "8"])],
            limit: 10,
            page: 2,
        };
        let form = request.form(ConnectionType::Admin, &" a+key&x=1 ".into());
        let pairs: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
        let expected = [
            ("Target", "Report"),
            ("Method", "getStats"),
            ("fields[]", "Stat.offer_id"),
            ("groups[]", "Stat.offer_id"),
            ("fields[]", "Stat.currency"),
            ("groups[]", "Stat.currency"),
            ("fields[]", "Offer.name"),
            ("groups[]", "Offer.name"),
            ("fields[]", "Stat.clicks"),
            ("filters[Stat.date][conditional]", "BETWEEN"),
            ("filters[Stat.date][values][]", "2026-11-16"),
            ("filters[Stat.date][values][]", "2026-11-16"),
            ("filters[Stat.affiliate_id][conditional]", "EQUAL_TO"),
            ("filters[Stat.affiliate_id][values][]", "7"),
            ("filters[Stat.affiliate_id][values][]", "8"),
            ("data_start", "2026-11-16"),
            ("data_end", "2026-11-16"),
            ("hour_offset", "-5"),
            ("sort[Stat.offer_id]", "asc"),
            ("sort[Stat.currency]", "asc"),
            ("limit", "10"),
            ("page", "2"),
            ("totals", "1"),
            ("NetworkToken", "a+key&x=1"),
        ];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn without_a_shift_nothing_is_said_of_one() {
        let request = ReportRequest {
            ids: vec![OFFER],
            names: Vec::new(),
            metrics: vec![CLICKS],
            days: DateRange::day(date(2026, 11, 16)),
            hour_offset: 0,
            filters: &[],
            limit: 10,
            page: 1,
        };
        let form = request.form(ConnectionType::Affiliate, &"key".into());
        let form = String::from_utf8_lossy(&form);
        assert!(!form.contains("data_start") && !form.contains("hour_offset"), "{form}");
        assert!(form.starts_with("Target=Affiliate_Report&") && form.ends_with("&api_key=key"), "{form}");
    }
}
