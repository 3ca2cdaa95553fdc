//! Writer of CloudWatch's Embedded Metric Format: a line of JSON that names the members which
//! CloudWatch turns into metrics.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use super::Metric;

/// A line of metrics with the same time.
pub(super) struct Document<'a> {
    pub(super) namespace: &'a str,
    pub(super) time: DateTime<Utc>,
    /// Value of the dimension, for the metrics that have one.
    pub(super) dimension: &'a str,
    /// Metrics and their values. All metrics with a dimension have the same one.
    pub(super) values: &'a [(Metric, f64)],
}

/// The member `_aws`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: i64,
    cloud_watch_metrics: Vec<Directive<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [Vec<&'static str>; 1],
    metrics: Vec<Definition>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: &'static str,
}

impl Document<'_> {
    /// The document as a line with a line break.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(320);
        // Numbers and text are written to memory, which cannot fail.
        if serde_json::to_writer(&mut line, self).is_ok() {
            line.push(b'\n');
            line
        } else {
            Vec::new()
        }
    }

    /// The directive for the metrics with this dimension, or for those without one.
    fn directive(&self, dimension: Option<&'static str>) -> Directive<'_> {
        let metrics = self.values.iter().map(|(metric, _)| metric);
        Directive {
            namespace: self.namespace,
            dimensions: [dimension.into_iter().collect()],
            metrics: metrics
                .filter(|metric| metric.dimension() == dimension)
                .map(|metric| Definition {
                    name: metric.name(),
                    unit: metric.unit(),
                })
                .collect(),
        }
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dimension = self.values.iter().find_map(|it| it.0.dimension());
        let directives = [self.directive(dimension), self.directive(None)];
        let mut root = serializer.serialize_map(None)?;
        root.serialize_entry(
            "_aws",
            &Metadata {
                timestamp: self.time.timestamp_millis(),
                cloud_watch_metrics: directives
                    .into_iter()
                    .take(1 + usize::from(dimension.is_some()))
                    .filter(|it| !it.metrics.is_empty())
                    .collect(),
            },
        )?;
        if let Some(name) = dimension {
            root.serialize_entry(name, self.dimension)?;
        }
        for (metric, value) in self.values {
            root.serialize_entry(metric.name(), value)?;
        }
        root.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(dimension: &str, values: &[(Metric, f64)]) -> Value {
        let line = Document {
            namespace: "N",
            time: DateTime::from_timestamp_millis(1_800_000_000_123).unwrap(),
            dimension,
            values,
        }
        .line();
        assert_eq!(
            line.iter().position(|byte| *byte == b'\n'),
            Some(line.len() - 1)
        );
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn writes_one_directive_per_dimension() {
        let values = [
            (Metric::Validations, 1.0),
            (Metric::DeactivationsOnValidation, 1.0),
        ];
        assert_eq!(
            written("SessionExpired", &values),
            json!({
                "_aws": {
                    "Timestamp": 1_800_000_000_123_i64,
                    "CloudWatchMetrics": [
                        {
                            "Namespace": "N",
                            "Dimensions": [["Outcome"]],
                            "Metrics": [{ "Name": "Validations", "Unit": "Count" }],
                        },
                        {
                            "Namespace": "N",
                            "Dimensions": [[]],
                            "Metrics": [{ "Name": "DeactivationsOnValidation", "Unit": "Count" }],
                        },
                    ],
                },
                "Outcome": "SessionExpired",
                "Validations": 1.0,
                "DeactivationsOnValidation": 1.0,
            })
        );
    }

    #[test]
    fn writes_one_directive_for_metrics_without_dimension() {
        let document = written("", &[(Metric::TotalSessions, 5.0)]);
        assert_eq!(
            document,
            json!({
                "_aws": {
                    "Timestamp": 1_800_000_000_123_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "N",
                        "Dimensions": [[]],
                        "Metrics": [{ "Name": "TotalSessions", "Unit": "Count" }],
                    }],
                },
                "TotalSessions": 5.0,
            })
        );
    }
}
