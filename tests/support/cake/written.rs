//! Answers as JSON and as XML, with an envelope and without.

use super::*;

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    /// Written in quotes in JSON.
    Text(String),
    /// Written bare in JSON.
    Number(String),
    /// A pair in the namespace of ids and names.
    Pair(Vec<(String, Value)>),
}

pub(super) type Line = Vec<(String, Value)>;

pub(super) fn field(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

pub(super) fn pair(name: &str, (id, label): (u32, &str)) -> (String, Value) {
    let members = vec![
        field(&format!("{name}_id"), Value::Number(id.to_string())),
        field(&format!("{name}_name"), Value::Text(label.to_owned())),
    ];
    field(name, Value::Pair(members))
}

pub(super) fn json_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => serde_json::json!(text).to_string(),
        Value::Number(digits) => digits.clone(),
        Value::Pair(members) => json_line(members),
    }
}

pub(super) fn json_line(line: &Line) -> String {
    let members: Vec<String> = line.iter().map(|(name, value)| format!("\"{name}\":{}", json_value(value))).collect();
    format!("{{{}}}", members.join(","))
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub(super) fn xml_line(line: &Line) -> String {
    line.iter()
        .map(|(name, value)| match value {
            Value::Null => format!("<{name} xsi:nil=\"true\" />"),
            Value::Text(text) if text.is_empty() => format!("<{name} />"),
            Value::Text(text) | Value::Number(text) => format!("<{name}>{}</{name}>", escape(text)),
            Value::Pair(members) => {
                let inner = xml_line(members).replacen('>', " xmlns=\"API:id_name_store\">", 1);
                format!("<{name}>{inner}</{name}>")
            }
        })
        .collect()
}

pub(super) const XSI: &str = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";

/// The names an XML answer of one report uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) root: &'static str,
    pub(super) container: &'static str,
    pub(super) row: &'static str,
}

pub(super) struct Envelope {
    pub(super) row_count: Option<usize>,
    pub(super) summary: Option<Line>,
    pub(super) lines: Vec<Line>,
}

impl Envelope {
    pub(super) fn xml(&self, names: Names, namespace: &str) -> Reply {
        let rows: String =
            self.lines.iter().map(|line| format!("\n    <{0}>{1}</{0}>", names.row, xml_line(line))).collect();
        let container = match rows.is_empty() {
            true => format!("<{} />", names.container),
            false => format!("<{0}>{rows}\n  </{0}>", names.container),
        };
        let count = self.row_count.map(|count| format!("<row_count>{count}</row_count>")).unwrap_or_default();
        let summary =
            self.summary.as_ref().map(|line| format!("<summary>{}</summary>", xml_line(line))).unwrap_or_default();
        let root = names.root;
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{root} {XSI} xmlns=\"{namespace}\">\n  <success>true</success>{count}{summary}\n  {container}\n</{root}>"
        );
        Reply::text(200, "text/xml; charset=utf-8", body)
    }

    pub(super) fn bare_xml(&self, row: &str) -> Reply {
        let rows: String = self.lines.iter().map(|line| format!("<{row}>{}</{row}>", xml_line(line))).collect();
        // Without a declaration, as some networks send it.
        Reply::text(
            200,
            "text/xml",
            format!("<ArrayOf{row} {XSI} xmlns=\"http://cakemarketing.com/api/1/\">{rows}</ArrayOf{row}>"),
        )
    }

    pub(super) fn json(&self) -> Reply {
        let rows: Vec<String> = self.lines.iter().map(json_line).collect();
        let count = self.row_count.map(|count| format!("\"row_count\": {count}, ")).unwrap_or_default();
        let summary =
            self.summary.as_ref().map(|line| format!("\"summary\": {}, ", json_line(line))).unwrap_or_default();
        let body = format!("{{{count}\"success\": true, \"message\": null, {summary}\"data\": [{}]}}", rows.join(","));
        // The header is wrong on purpose: it is the body that counts.
        Reply::text(200, "text/xml", body)
    }

    pub(super) fn bare_json(&self) -> Reply {
        let rows: Vec<String> = self.lines.iter().map(json_line).collect();
        Reply::text(200, "application/json", format!("[{}]", rows.join(",")))
    }
}

/// A refusal of a classic method.
pub(super) fn refused_xml(message: &str) -> Reply {
    // Without a declaration: a leading `<` alone is no web page.
    let body = format!(
        "<report_response xmlns=\"http://cakemarketing.com/affiliates/api/3/\"><success>false</success><message>{message}</message><row_count>0</row_count></report_response>"
    );
    Reply::text(200, "text/xml", body)
}
