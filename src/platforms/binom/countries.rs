//! Countries by the names Binom has for them.
//!
//! v1 names a country in English, as GeoLite2 or as CLDR does: which one is on no record. v2 is known to give a name, a
//! code or both (`Germany (DE)`). Here they become ISO 3166 codes. A text that is no country's stays as it is, and so does
//! a code that is none's (`A1`, `EU`, `T1`, `UK`): a row is never dropped for its spelling.

use std::collections::HashMap;
use std::sync::LazyLock;

use deunicode::deunicode;

use super::super::stats::DimensionValue;

/// The country a text stands for.
pub(super) fn read(text: &str) -> DimensionValue {
    let text = text.trim();
    match find(text) {
        Some((code, name)) => DimensionValue::new(code, name),
        None if is_nowhere(text) => DimensionValue::unknown(),
        None => DimensionValue::plain(text),
    }
}

fn is_nowhere(text: &str) -> bool {
    matches!(
        text.to_lowercase().as_str(),
        "" | "-" | "unknown" | "unknown region" | "undefined" | "other" | "n/a" | "null"
    )
}

fn find(text: &str) -> Option<(&'static str, &'static str)> {
    static BY_CODE: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| COUNTRIES.iter().copied().collect());
    static BY_NAME: LazyLock<HashMap<String, &str>> =
        LazyLock::new(|| COUNTRIES.iter().chain(OTHER_NAMES).map(|(code, name)| (folded(name), *code)).collect());
    let by_code = |code: &str| BY_CODE.get_key_value(code.to_uppercase().as_str()).map(|(code, name)| (*code, *name));
    let by_name = |name: &str| BY_NAME.get(&folded(name)).and_then(|code| by_code(code));
    let in_brackets =
        || text.strip_suffix(')').and_then(|text| text.rsplit_once('(')).and_then(|(_, code)| by_code(code));
    by_code(text).or_else(|| by_name(text)).or_else(in_brackets)
}

/// A name without what spellings differ in: accents, marks, articles, `&` and `St.`.
fn folded(name: &str) -> String {
    let plain = deunicode(name).to_lowercase().replace('&', " and ");
    let words = plain.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !matches!(*word, "" | "the"));
    words.map(|word| if word == "st" { "saint" } else { word }).collect::<Vec<_>>().join(" ")
}

/// ISO 3166-1 alpha-2 codes with the usual English names, and Kosovo's, which everybody uses and nobody has assigned.
const COUNTRIES: &[(&str, &str)] = &[
    ("AD", "Andorra"),
    ("AE", "United Arab Emirates"),
    ("AF", "Afghanistan"),
    ("AG", "Antigua and Barbuda"),
    ("AI", "Anguilla"),
    ("AL", "Albania"),
    ("AM", "Armenia"),
    ("AO", "Angola"),
    ("AQ", "Antarctica"),
    ("AR", "Argentina"),
    ("AS", "American Samoa"),
    ("AT", "Austria"),
    ("AU", "Australia"),
    ("AW", "Aruba"),
    ("AX", "Åland Islands"),
    ("AZ", "Azerbaijan"),
    ("BA", "Bosnia and Herzegovina"),
    ("BB", "Barbados"),
    ("BD", "Bangladesh"),
    ("BE", "Belgium"),
    ("BF", "Burkina Faso"),
    ("BG", "Bulgaria"),
    ("BH", "Bahrain"),
    ("BI", "Burundi"),
    ("BJ", "Benin"),
    ("BL", "Saint Barthélemy"),
    ("BM", "Bermuda"),
    ("BN", "Brunei"),
    ("BO", "Bolivia"),
    ("BQ", "Caribbean Netherlands"),
    ("BR", "Brazil"),
    ("BS", "Bahamas"),
    ("BT", "Bhutan"),
    ("BV", "Bouvet Island"),
    ("BW", "Botswana"),
    ("BY", "Belarus"),
    ("BZ", "Belize"),
    ("CA", "Canada"),
    ("CC", "Cocos Islands"),
    ("CD", "DR Congo"),
    ("CF", "Central African Republic"),
    ("CG", "Congo"),
    ("CH", "Switzerland"),
    ("CI", "Côte d'Ivoire"),
    ("CK", "Cook Islands"),
    ("CL", "Chile"),
    ("CM", "Cameroon"),
    ("CN", "China"),
    ("CO", "Colombia"),
    ("CR", "Costa Rica"),
    ("CU", "Cuba"),
    ("CV", "Cabo Verde"),
    ("CW", "Curaçao"),
    ("CX", "Christmas Island"),
    ("CY", "Cyprus"),
    ("CZ", "Czechia"),
    ("DE", "Germany"),
    ("DJ", "Djibouti"),
    ("DK", "Denmark"),
    ("DM", "Dominica"),
    ("DO", "Dominican Republic"),
    ("DZ", "Algeria"),
    ("EC", "Ecuador"),
    ("EE", "Estonia"),
    ("EG", "Egypt"),
    ("EH", "Western Sahara"),
    ("ER", "Eritrea"),
    ("ES", "Spain"),
    ("ET", "Ethiopia"),
    ("FI", "Finland"),
    ("FJ", "Fiji"),
    ("FK", "Falkland Islands"),
    ("FM", "Micronesia"),
    ("FO", "Faroe Islands"),
    ("FR", "France"),
    ("GA", "Gabon"),
    ("GB", "United Kingdom"),
    ("GD", "Grenada"),
    ("GE", "Georgia"),
    ("GF", "French Guiana"),
    ("GG", "Guernsey"),
    ("GH", "Ghana"),
    ("GI", "Gibraltar"),
    ("GL", "Greenland"),
    ("GM", "Gambia"),
    ("GN", "Guinea"),
    ("GP", "Guadeloupe"),
    ("GQ", "Equatorial Guinea"),
    ("GR", "Greece"),
    ("GS", "South Georgia and the South Sandwich Islands"),
    ("GT", "Guatemala"),
    ("GU", "Guam"),
    ("GW", "Guinea-Bissau"),
    ("GY", "Guyana"),
    ("HK", "Hong Kong"),
    ("HM", "Heard Island and McDonald Islands"),
    ("HN", "Honduras"),
    ("HR", "Croatia"),
    ("HT", "Haiti"),
    ("HU", "Hungary"),
    ("ID", "Indonesia"),
    ("IE", "Ireland"),
    ("IL", "Israel"),
    ("IM", "Isle of Man"),
    ("IN", "India"),
    ("IO", "British Indian Ocean Territory"),
    ("IQ", "Iraq"),
    ("IR", "Iran"),
    ("IS", "Iceland"),
    ("IT", "Italy"),
    ("JE", "Jersey"),
    ("JM", "Jamaica"),
    ("JO", "Jordan"),
    ("JP", "Japan"),
    ("KE", "Kenya"),
    ("KG", "Kyrgyzstan"),
    ("KH", "Cambodia"),
    ("KI", "Kiribati"),
    ("KM", "Comoros"),
    ("KN", "Saint Kitts and Nevis"),
    ("KP", "North Korea"),
    ("KR", "South Korea"),
    ("KW", "Kuwait"),
    ("KY", "Cayman Islands"),
    ("KZ", "Kazakhstan"),
    ("LA", "Laos"),
    ("LB", "Lebanon"),
    ("LC", "Saint Lucia"),
    ("LI", "Liechtenstein"),
    ("LK", "Sri Lanka"),
    ("LR", "Liberia"),
    ("LS", "Lesotho"),
    ("LT", "Lithuania"),
    ("LU", "Luxembourg"),
    ("LV", "Latvia"),
    ("LY", "Libya"),
    ("MA", "Morocco"),
    ("MC", "Monaco"),
    ("MD", "Moldova"),
    ("ME", "Montenegro"),
    ("MF", "Saint Martin"),
    ("MG", "Madagascar"),
    ("MH", "Marshall Islands"),
    ("MK", "North Macedonia"),
    ("ML", "Mali"),
    ("MM", "Myanmar"),
    ("MN", "Mongolia"),
    ("MO", "Macao"),
    ("MP", "Northern Mariana Islands"),
    ("MQ", "Martinique"),
    ("MR", "Mauritania"),
    ("MS", "Montserrat"),
    ("MT", "Malta"),
    ("MU", "Mauritius"),
    ("MV", "Maldives"),
    ("MW", "Malawi"),
    ("MX", "Mexico"),
    ("MY", "Malaysia"),
    ("MZ", "Mozambique"),
    ("NA", "Namibia"),
    ("NC", "New Caledonia"),
    ("NE", "Niger"),
    ("NF", "Norfolk Island"),
    ("NG", "Nigeria"),
    ("NI", "Nicaragua"),
    ("NL", "Netherlands"),
    ("NO", "Norway"),
    ("NP", "Nepal"),
    ("NR", "Nauru"),
    ("NU", "Niue"),
    ("NZ", "New Zealand"),
    ("OM", "Oman"),
    ("PA", "Panama"),
    ("PE", "Peru"),
    ("PF", "French Polynesia"),
    ("PG", "Papua New Guinea"),
    ("PH", "Philippines"),
    ("PK", "Pakistan"),
    ("PL", "Poland"),
    ("PM", "Saint Pierre and Miquelon"),
    ("PN", "Pitcairn"),
    ("PR", "Puerto Rico"),
    ("PS", "Palestine"),
    ("PT", "Portugal"),
    ("PW", "Palau"),
    ("PY", "Paraguay"),
    ("QA", "Qatar"),
    ("RE", "Réunion"),
    ("RO", "Romania"),
    ("RS", "Serbia"),
    ("RU", "Russia"),
    ("RW", "Rwanda"),
    ("SA", "Saudi Arabia"),
    ("SB", "Solomon Islands"),
    ("SC", "Seychelles"),
    ("SD", "Sudan"),
    ("SE", "Sweden"),
    ("SG", "Singapore"),
    ("SH", "Saint Helena"),
    ("SI", "Slovenia"),
    ("SJ", "Svalbard and Jan Mayen"),
    ("SK", "Slovakia"),
    ("SL", "Sierra Leone"),
    ("SM", "San Marino"),
    ("SN", "Senegal"),
    ("SO", "Somalia"),
    ("SR", "Suriname"),
    ("SS", "South Sudan"),
    ("ST", "Sao Tome and Principe"),
    ("SV", "El Salvador"),
    ("SX", "Sint Maarten"),
    ("SY", "Syria"),
    ("SZ", "Eswatini"),
    ("TC", "Turks and Caicos Islands"),
    ("TD", "Chad"),
    ("TF", "French Southern Territories"),
    ("TG", "Togo"),
    ("TH", "Thailand"),
    ("TJ", "Tajikistan"),
    ("TK", "Tokelau"),
    ("TL", "Timor-Leste"),
    ("TM", "Turkmenistan"),
    ("TN", "Tunisia"),
    ("TO", "Tonga"),
    ("TR", "Türkiye"),
    ("TT", "Trinidad and Tobago"),
    ("TV", "Tuvalu"),
    ("TW", "Taiwan"),
    ("TZ", "Tanzania"),
    ("UA", "Ukraine"),
    ("UG", "Uganda"),
    ("UM", "United States Minor Outlying Islands"),
    ("US", "United States"),
    ("UY", "Uruguay"),
    ("UZ", "Uzbekistan"),
    ("VA", "Vatican City"),
    ("VC", "Saint Vincent and the Grenadines"),
    ("VE", "Venezuela"),
    ("VG", "British Virgin Islands"),
    ("VI", "US Virgin Islands"),
    ("VN", "Vietnam"),
    ("VU", "Vanuatu"),
    ("WF", "Wallis and Futuna"),
    ("WS", "Samoa"),
    ("XK", "Kosovo"),
    ("YE", "Yemen"),
    ("YT", "Mayotte"),
    ("ZA", "South Africa"),
    ("ZM", "Zambia"),
    ("ZW", "Zimbabwe"),
];

/// Other names the same countries go by, beside those that differ in their spelling alone.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("AE", "UAE"),
    ("BN", "Brunei Darussalam"),
    ("BO", "Bolivia, Plurinational State of"),
    ("BO", "Plurinational State of Bolivia"),
    ("BQ", "Bonaire"),
    ("BQ", "Bonaire, Sint Eustatius and Saba"),
    ("CC", "Cocos (Keeling) Islands"),
    ("CD", "Congo - Kinshasa"),
    ("CD", "Congo DR"),
    ("CD", "Congo, Democratic Republic of the"),
    ("CD", "DRC"),
    ("CD", "Democratic Republic of the Congo"),
    ("CG", "Congo - Brazzaville"),
    ("CG", "Congo Republic"),
    ("CG", "Republic of the Congo"),
    ("CI", "Ivory Coast"),
    ("CV", "Cape Verde"),
    ("CV", "Republic of Cabo Verde"),
    ("CZ", "Czech Republic"),
    ("FK", "Falkland Islands (Islas Malvinas)"),
    ("FK", "Falkland Islands (Malvinas)"),
    ("FM", "Federated States of Micronesia"),
    ("FM", "Micronesia, Federated States of"),
    ("GB", "Great Britain"),
    ("GE", "Republic of Georgia"),
    ("HK", "Hong Kong (SAR)"),
    ("HK", "Hong Kong SAR China"),
    ("HM", "Heard and McDonald Islands"),
    ("IE", "Republic of Ireland"),
    ("IO", "British Indian Ocean Territories"),
    ("IR", "Iran, Islamic Republic of"),
    ("IR", "Islamic Republic of Iran"),
    ("JO", "Hashemite Kingdom of Jordan"),
    ("KP", "Democratic People's Republic of Korea"),
    ("KP", "Korea (North)"),
    ("KP", "Korea, Democratic People's Republic of"),
    ("KR", "Korea (South)"),
    ("KR", "Korea, Republic of"),
    ("KR", "Republic of Korea"),
    ("LA", "Lao"),
    ("LA", "Lao People's Democratic Republic"),
    ("LT", "Republic of Lithuania"),
    ("LY", "Libyan Arab Jamahiriya"),
    ("MD", "Moldova Republic"),
    ("MD", "Moldova, Republic of"),
    ("MD", "Republic of Moldova"),
    ("MF", "Collectivity of Saint Martin"),
    ("MF", "Saint Martin (French part)"),
    ("MK", "Macedonia"),
    ("MK", "Republic of North Macedonia"),
    ("MM", "Burma"),
    ("MM", "Myanmar (Burma)"),
    ("MO", "Macao SAR China"),
    ("MO", "Macau"),
    ("MO", "Macau SAR China"),
    ("PN", "Pitcairn Islands"),
    ("PS", "Occupied Palestinian Territory"),
    ("PS", "Palestine, State of"),
    ("PS", "Palestinian Territories"),
    ("PS", "Palestinian Territory"),
    ("PS", "State of Palestine"),
    ("RU", "Russian Federation"),
    ("SH", "Saint Helena Ascension and Tristan da Cunha"),
    ("SX", "Sint Maarten (Dutch part)"),
    ("SY", "Syria Arab Republic"),
    ("SY", "Syrian Arab Republic"),
    ("SZ", "Swaziland"),
    ("TF", "French Southern and Antarctic Lands"),
    ("TL", "East Timor"),
    ("TR", "Turkey"),
    ("TW", "Taiwan Province of China"),
    ("TZ", "Tanzania, United Republic of"),
    ("TZ", "United Republic of Tanzania"),
    ("UM", "U.S. Minor Outlying Islands"),
    ("UM", "U.S. Outlying Islands"),
    ("UM", "US Outlying Islands"),
    ("US", "USA"),
    ("US", "United States of America"),
    ("VA", "Holy See"),
    ("VA", "Holy See (Vatican City State)"),
    ("VA", "Vatican"),
    ("VE", "Venezuela, Bolivarian Republic of"),
    ("VG", "Virgin Islands (British)"),
    ("VI", "U.S. Virgin Islands"),
    ("VI", "United States Virgin Islands"),
    ("VI", "Virgin Islands (U.S.)"),
    ("VN", "Viet Nam"),
    ("XK", "Republic of Kosovo"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_a_code_and_both_are_the_same_country() {
        for text in ["Germany", "DE", "de", "Germany (DE)", " germany "] {
            assert_eq!(read(text), DimensionValue::new("DE", "Germany"), "{text}");
        }
        assert_eq!(read("Turkey").id, "TR");
        assert_eq!(read("Türkiye").id, "TR");
        assert_eq!(read("Viet Nam").id, "VN");
    }

    #[test]
    fn what_is_no_country_stays_as_it_is() {
        assert_eq!(read("Atlantis"), DimensionValue::plain("Atlantis"));
        assert_eq!(read("Unknown"), DimensionValue::unknown());
        assert_eq!(read(""), DimensionValue::unknown());
    }

    #[test]
    fn the_spellings_of_geolite_and_of_cldr_are_known() {
        for (name, code) in [
            ("The Netherlands", "NL"),
            ("Kosovo", "XK"),
            ("Congo Republic", "CG"),
            ("DR Congo", "CD"),
            ("Congo - Kinshasa", "CD"),
            ("St Kitts and Nevis", "KN"),
            ("St. Kitts & Nevis", "KN"),
            ("St Vincent and Grenadines", "VC"),
            ("St. Vincent & Grenadines", "VC"),
            ("Federated States of Micronesia", "FM"),
            ("U.S. Outlying Islands", "UM"),
            ("Pitcairn Islands", "PN"),
            ("Heard & McDonald Islands", "HM"),
            ("Bosnia & Herzegovina", "BA"),
            ("Trinidad & Tobago", "TT"),
            ("Turks & Caicos Islands", "TC"),
            ("South Georgia & South Sandwich Islands", "GS"),
            ("Svalbard & Jan Mayen", "SJ"),
            ("Wallis & Futuna", "WF"),
            ("St. Barthélemy", "BL"),
            ("St. Helena", "SH"),
            ("St. Lucia", "LC"),
            ("St. Martin", "MF"),
            ("St. Pierre & Miquelon", "PM"),
            ("São Tomé & Príncipe", "ST"),
            ("Antigua & Barbuda", "AG"),
            ("Côte d\u{2019}Ivoire", "CI"),
            ("Ivory Coast", "CI"),
            ("Myanmar (Burma)", "MM"),
            ("Hong Kong SAR China", "HK"),
            ("Macao SAR China", "MO"),
            ("Hashemite Kingdom of Jordan", "JO"),
            ("Åland Islands", "AX"),
            ("Türkiye", "TR"),
        ] {
            assert_eq!(read(name).id, code, "{name}");
        }
    }

    #[test]
    fn codes_that_are_no_countries_pass_through_as_they_are() {
        for code in ["XK", "A1", "A2", "O1", "EU", "AP", "T1", "UK", "ZZ"] {
            assert_eq!(read(code).id, code);
        }
    }

    #[test]
    fn no_name_stands_for_two_countries() {
        let mut names: Vec<String> = COUNTRIES.iter().chain(OTHER_NAMES).map(|(_, name)| folded(name)).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    proptest! {
        #[test]
        fn every_text_is_read_without_a_panic(text in "\\PC*") {
            prop_assert!(!read(&text).id.is_empty());
        }
    }
}
