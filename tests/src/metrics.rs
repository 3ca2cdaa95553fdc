//! Parser of metrics in CloudWatch's Embedded Metric Format, which rejects any deviation, and of
//! the table that documents them.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The document with the table of metrics.
const TABLE: &str = include_str!("../../docs/reference/metrics.md");

/// CloudWatch's units (`StandardUnit` of `PutMetricData`), except rates.
const UNITS: [&str; 15] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
];

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Time in milliseconds since the epoch.
    pub time: i64,
    pub namespace: String,
    pub name: String,
    pub unit: String,
    /// Name and value of the dimension, if there is one.
    pub dimension: Option<(String, String)>,
    pub value: f64,
}

/// A row of the documented table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub name: String,
    pub unit: String,
    pub dimension: Option<String>,
    /// The functions that write the metric.
    pub functions: BTreeSet<String>,
}

/// Whether a line is a metrics document.
#[must_use]
pub fn is_document(line: &Value) -> bool {
    line.get("_aws").is_some()
}

/// The metric values in a document.
///
/// # Panics
///
/// If the document violates the format or has superfluous members.
#[must_use]
pub fn samples(document: &Value) -> Vec<Sample> {
    read(document).unwrap_or_else(|rule| panic!("{rule}: {document}"))
}

fn read(document: &Value) -> Result<Vec<Sample>, &'static str> {
    let root = document.as_object().ok_or("a document is an object")?;
    if document.to_string().len() > 256 * 1024 {
        return Err("a document has at most 256 KiB");
    }
    let metadata = members(&root["_aws"], &["Timestamp", "CloudWatchMetrics"])?;
    let time = metadata["Timestamp"]
        .as_i64()
        .ok_or("the time is a whole number of milliseconds")?;
    let directives = metadata["CloudWatchMetrics"]
        .as_array()
        .filter(|directives| !directives.is_empty())
        .ok_or("there are directives")?;
    let mut samples = Vec::new();
    let mut used = BTreeSet::from(["_aws".to_owned()]);
    for directive in directives {
        let directive = members(directive, &["Namespace", "Dimensions", "Metrics"])?;
        let namespace = text(&directive["Namespace"], 255)?;
        if namespace.starts_with("AWS/") {
            return Err("a namespace is not one of AWS's own");
        }
        let sets = directive["Dimensions"].as_array().ok_or("dimensions")?;
        let [set] = &sets[..] else {
            return Err("a directive has one set of dimensions");
        };
        let dimension = match &set.as_array().ok_or("a set of dimensions")?[..] {
            [] => None,
            [name] => {
                let name = text(name, 250)?;
                used.insert(name.clone());
                let value = root.get(&name).ok_or("a dimension has its value")?;
                Some((name, text(value, 1024)?))
            }
            _ => return Err("a metric has at most one dimension"),
        };
        let metrics = directive["Metrics"].as_array().ok_or("metrics")?;
        if !(1..=100).contains(&metrics.len()) {
            return Err("a directive has 1 to 100 metrics");
        }
        for metric in metrics {
            let metric = members(metric, &["Name", "Unit"])?;
            let name = text(&metric["Name"], 1024)?;
            let unit = text(&metric["Unit"], 255)?;
            if unit != "None" && !UNITS.contains(&&*unit) {
                return Err("a unit is one of CloudWatch's units");
            }
            let value = root.get(&name).and_then(Value::as_f64);
            let value = value.ok_or("a metric has its number")?;
            if !used.insert(name.clone()) {
                return Err("a document contains each metric once");
            }
            samples.push(Sample {
                time,
                namespace: namespace.clone(),
                name,
                unit,
                dimension: dimension.clone(),
                value,
            });
        }
    }
    if root.keys().any(|name| !used.contains(name)) {
        return Err("every member is a metric or a dimension");
    }
    Ok(samples)
}

/// Checks that an object has exactly these members.
fn members<'a>(value: &'a Value, names: &[&str]) -> Result<&'a Map<String, Value>, &'static str> {
    let object = value.as_object().ok_or("an object")?;
    let all = names.iter().all(|name| object.contains_key(*name));
    (all && object.len() == names.len())
        .then_some(object)
        .ok_or("an object has its members, and no others")
}

fn text(value: &Value, most: usize) -> Result<String, &'static str> {
    let text = value.as_str().ok_or("text")?;
    let fits = (1..=most).contains(&text.len()) && text.is_ascii() && !text.trim().is_empty();
    fits.then(|| text.to_owned())
        .ok_or("text is not empty, not too long, and ASCII")
}

/// Reads the documented table.
///
/// # Panics
///
/// If the document has no table.
#[must_use]
pub fn table() -> Vec<Row> {
    let rows = TABLE.lines().skip_while(|line| !line.starts_with("| ---"));
    let rows: Vec<_> = rows
        .skip(1)
        .map_while(|line| line.strip_prefix("| "))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let [name, unit, dimension, functions, ..] = cells[..] else {
                panic!("a row with missing cells: {line}");
            };
            let quoted = |cell: &str| cell.trim_matches('`').to_owned();
            Row {
                name: quoted(name),
                unit: unit.to_owned(),
                dimension: (!dimension.is_empty()).then(|| quoted(dimension)),
                functions: functions.split(", ").map(quoted).collect(),
            }
        })
        .collect();
    assert!(!rows.is_empty(), "docs/reference/metrics.md has a table");
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "_aws": {
                "Timestamp": 1_800_000_000_000_i64,
                "CloudWatchMetrics": [
                    { "Namespace": "N", "Dimensions": [["D"]], "Metrics": [{ "Name": "M", "Unit": "Count" }] },
                    { "Namespace": "N", "Dimensions": [[]], "Metrics": [{ "Name": "O", "Unit": "None" }] },
                ],
            },
            "D": "d", "M": 1, "O": 0.5,
        })
    }

    #[test]
    fn reads_samples_of_valid_document() {
        let sample = |name: &str, unit: &str, dimension, value| Sample {
            time: 1_800_000_000_000,
            namespace: "N".to_owned(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            dimension,
            value,
        };
        let dimension = Some(("D".to_owned(), "d".to_owned()));
        let read = read(&document());
        let expected = vec![
            sample("M", "Count", dimension, 1.0),
            sample("O", "None", None, 0.5),
        ];
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn rejects_document_that_breaks_a_rule() {
        let first = "/_aws/CloudWatchMetrics/0";
        for (place, wrong) in [
            ("/_aws/Timestamp".to_owned(), json!("now")),
            ("/_aws/Timestamp".to_owned(), json!(1.5)),
            ("/_aws/CloudWatchMetrics".to_owned(), json!([])),
            (format!("{first}/Namespace"), json!("")),
            (format!("{first}/Namespace"), json!("AWS/Lambda")),
            (format!("{first}/Dimensions"), json!([])),
            (format!("{first}/Dimensions"), json!([["Missing"]])),
            (format!("{first}/Dimensions"), json!(["D"])),
            (format!("{first}/Metrics"), json!([])),
            (format!("{first}/Metrics/0/Unit"), json!("Pieces")),
            (format!("{first}/Metrics/0/Name"), json!("Missing")),
            (format!("{first}/Metrics/0"), json!({ "Name": "M" })),
            (
                "/_aws/CloudWatchMetrics/1/Metrics/0/Name".to_owned(),
                json!("M"),
            ),
            ("/D".to_owned(), json!("")),
            ("/D".to_owned(), json!(1)),
            ("/M".to_owned(), json!("1")),
        ] {
            let mut document = document();
            *document.pointer_mut(&place).expect("the member exists") = wrong.clone();
            assert!(read(&document).is_err(), "{place}: {wrong}");
        }
        let mut more = document();
        more["X"] = json!(1);
        assert!(
            read(&more).is_err(),
            "a member that is neither a metric nor a dimension"
        );
    }
}
