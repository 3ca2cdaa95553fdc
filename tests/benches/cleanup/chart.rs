//! Chart of the cost by table size, with logarithmic axes.

use std::fmt::Write as _;

use session_cleanup_tests::benchmark::stats::grouped;

/// The cost of a run in a table of one size.
pub(crate) struct Point {
    pub(crate) live: f64,
    pub(crate) requests: f64,
    pub(crate) units: f64,
    pub(crate) requests_with_scan: f64,
    pub(crate) units_with_scan: f64,
}

/// A line of the chart: name, class, and value of a point.
type Line = (&'static str, &'static str, fn(&Point) -> f64);

const LINES: [Line; 4] = [
    ("units, with a table scan (computed)", "units scan", |it| {
        it.units_with_scan
    }),
    ("capacity units", "units", |it| it.units),
    (
        "requests, with a table scan (computed)",
        "requests scan",
        |it| it.requests_with_scan,
    ),
    ("requests", "requests", |it| it.requests),
];

/// Area of the lines, and the powers of ten at its edges.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 500.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 330.0;
const ACROSS: [i32; 2] = [4, 6];
const UPWARDS: [i32; 2] = [1, 5];

/// Colours for light and dark mode.
const STYLE: &str = "
  text { font: 13px sans-serif; fill: #1f2328 }
  .title { font-weight: bold }
  .ground { fill: #ffffff }
  .grid { stroke: #d1d9e0 }
  polyline { fill: none; stroke-width: 2.5 }
  .scan { stroke-dasharray: 6 5 }
  polyline.units { stroke: #0969da }
  polyline.requests { stroke: #bc4c00 }
  text.units { fill: #0969da }
  text.requests { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .ground { fill: #0d1117 }
    .grid { stroke: #3d444d }
    polyline.units { stroke: #4493f8 }
    polyline.requests { stroke: #f0883e }
    text.units { fill: #4493f8 }
    text.requests { fill: #f0883e }
  }
";

/// Draws the cost of a run in tables of several sizes with the same number of due sessions.
pub(crate) fn draw(points: &[Point], due: usize) -> String {
    let due = grouped(due);
    let mut svg = String::new();
    let mut put = |part: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(svg, "{part}");
    };
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 400\" role=\"img\">"
    ));
    put(format_args!(
        "<title>What one run costs that closes {due} sessions, by the size of the table</title>"
    ));
    put(format_args!("<style>{STYLE}</style>"));
    put(format_args!(
        "<rect class=\"ground\" width=\"800\" height=\"400\"/>"
    ));
    put(format_args!(
        "<text class=\"title\" x=\"{LEFT}\" y=\"25\">What one run costs that closes {due} sessions</text>"
    ));
    for power in UPWARDS[0]..=UPWARDS[1] {
        let y = upwards(10_f64.powi(power));
        put(format_args!(
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>"
        ));
        put(format_args!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            power_of_ten(power)
        ));
    }
    for power in ACROSS[0]..=ACROSS[1] {
        let x = across(10_f64.powi(power));
        put(format_args!(
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{BOTTOM}\"/>"
        ));
        put(format_args!(
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 20.0,
            power_of_ten(power)
        ));
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    put(format_args!(
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">live sessions in the table</text>",
        BOTTOM + 45.0
    ));
    let height = f64::midpoint(TOP, BOTTOM);
    put(format_args!(
        "<text transform=\"translate(18 {height}) rotate(-90)\" text-anchor=\"middle\">requests; capacity units</text>"
    ));
    for (name, class, value) in LINES {
        let places: Vec<_> = points
            .iter()
            .map(|point| format!("{:.1},{:.1}", across(point.live), upwards(value(point))))
            .collect();
        put(format_args!(
            "<polyline class=\"{class}\" points=\"{}\"/>",
            places.join(" ")
        ));
        if let Some(last) = points.last() {
            put(format_args!(
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                across(last.live) + 8.0,
                upwards(value(last)) + 4.0
            ));
        }
    }
    put(format_args!("</svg>"));
    svg
}

fn across(value: f64) -> f64 {
    place(value, ACROSS, LEFT, RIGHT)
}

fn upwards(value: f64) -> f64 {
    place(value, UPWARDS, BOTTOM, TOP)
}

fn place(value: f64, [least, most]: [i32; 2], from: f64, to: f64) -> f64 {
    let part = (value.log10() - f64::from(least)) / f64::from(most - least);
    part.mul_add(to - from, from)
}

fn power_of_ten(power: i32) -> &'static str {
    ["1", "10", "100", "1,000", "10,000", "100,000", "1,000,000"]
        [usize::try_from(power).unwrap_or_default()]
}
