//! The problems of a file that cannot be imported.

use std::collections::HashMap;
use std::{fmt, io};

/// Maximum number of different problems in a message.
const TOLD: usize = 20;

/// Maximum number of places named for one problem.
const NAMED: usize = 3;

/// The supported formats.
pub(super) const TAKEN: &str = "Supported formats: the output of aws dynamodb scan, query, get-item \
    or batch-get-item, an array of items, one item per line, and the files of a table export, full \
    or incremental; plain or gzip, also several of them concatenated";

/// Error of reading a file. Nothing of the file is imported.
#[derive(Debug)]
pub enum ImportError {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// Some lines are not items.
    Lines {
        /// The problems.
        problems: Problems,
        /// The preset for an item without the table's key.
        preset: Option<&'static str>,
    },
    /// The layout cannot convert some items.
    Unconvertible(Problems),
    /// The file has no items.
    Empty,
}

impl ImportError {
    pub(super) const fn lines(problems: Problems) -> Self {
        Self::Lines {
            problems,
            preset: None,
        }
    }
}

/// The place of an item in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    line: usize,
    /// The number of the item in its line, if the line has several.
    item: Option<usize>,
}

impl Place {
    /// The places of items that begin on these lines.
    pub(super) fn of_all(lines: impl Iterator<Item = usize> + Clone) -> impl Iterator<Item = Self> {
        let mut all: HashMap<usize, usize> = HashMap::new();
        lines
            .clone()
            .for_each(|line| *all.entry(line).or_default() += 1);
        let mut so_far: HashMap<usize, usize> = HashMap::new();
        lines.map(move |line| {
            let item = (all[&line] > 1).then(|| {
                let number = so_far.entry(line).or_default();
                *number += 1;
                *number
            });
            Self { line, item }
        })
    }

    /// The place of the only item that begins on this line.
    pub(super) const fn line(line: usize) -> Self {
        Self { line, item: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        match self.item {
            Some(item) => write!(f, ", item {item}"),
            None => Ok(()),
        }
    }
}

/// Problems and their places. The same problem in several places counts as one.
#[derive(Debug, Default)]
pub struct Problems {
    problems: Vec<Problem>,
    indices: HashMap<String, usize>,
}

#[derive(Debug)]
struct Problem {
    sentence: String,
    places: Vec<Place>,
}

impl Problems {
    /// A single problem.
    #[must_use]
    pub fn one(line: usize, sentence: &str) -> Self {
        let mut problems = Self::default();
        problems.add(Place::line(line), sentence.to_owned());
        problems
    }

    /// Adds a problem.
    pub fn add(&mut self, place: Place, sentence: String) {
        let next = self.problems.len();
        let index = *self.indices.entry(sentence.clone()).or_insert(next);
        if index == next {
            self.problems.push(Problem {
                sentence,
                places: Vec::new(),
            });
        }
        self.problems[index].places.push(place);
    }

    /// Whether there are no problems.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Each place with its problem, in the order of the file.
    #[must_use]
    pub fn places(&self) -> Vec<(Place, &str)> {
        let each = self.problems.iter().flat_map(|problem| {
            let places = problem.places.iter();
            places.map(|place| (*place, problem.sentence.as_str()))
        });
        let mut places: Vec<_> = each.collect();
        places.sort_unstable();
        places
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = |f: &mut fmt::Formatter<'_>| match self.places.len().saturating_sub(NAMED) {
            0 => write!(f, ": {}", self.sentence),
            rest => write!(f, " and {rest} more: {}", self.sentence),
        };
        let first = &self.places[..self.places.len().min(NAMED)];
        if let [place] = first {
            write!(f, "{place}")?;
        } else if first.iter().all(|place| place.item.is_none()) {
            let lines: Vec<_> = first.iter().map(|place| place.line.to_string()).collect();
            write!(f, "lines {}", lines.join(", "))?;
        } else if self.places.iter().all(|place| place.line == first[0].line) {
            let items = first
                .iter()
                .filter_map(|place| Some(place.item?.to_string()));
            let items: Vec<_> = items.collect();
            write!(f, "line {}, items {}", first[0].line, items.join(", "))?;
        } else {
            let places: Vec<_> = first.iter().map(Place::to_string).collect();
            write!(f, "{}", places.join("; "))?;
        }
        more(f)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter().take(TOLD) {
            write!(f, "; {problem}")?;
        }
        match self
            .problems
            .iter()
            .skip(TOLD)
            .map(|it| it.places.len())
            .sum()
        {
            0_usize => Ok(()),
            more => write!(f, "; and {more} more lines"),
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => write!(f, "cannot read the file"),
            Self::Empty => write!(f, "the file has no items. {TAKEN}"),
            Self::Lines { problems, preset } => {
                write!(f, "the file has lines that are not items in DynamoDB JSON")?;
                write!(f, "{problems}. ")?;
                match preset {
                    Some(name) => write!(
                        f,
                        "There are items that look like sessions of another table: \
                         --layout {name} converts them"
                    ),
                    None => write!(f, "{TAKEN}"),
                }
            }
            Self::Unconvertible(problems) => write!(
                f,
                "the layout cannot convert all items{problems}. Nothing is imported: --dry-run \
                 prints each of these lines, --skip-invalid imports the other items"
            ),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Lines { .. } | Self::Unconvertible(_) | Self::Empty => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[usize]) -> String {
        let mut problems = Problems::default();
        for place in Place::of_all(lines.iter().copied()) {
            problems.add(place, "no key".to_owned());
        }
        ImportError::lines(problems).to_string()
    }

    #[test]
    fn reports_each_problem_once_with_its_places() {
        for (lines, expected) in [
            (&[7][..], "; line 7: no key."),
            (&[1, 2, 5], "; lines 1, 2, 5: no key."),
            (&[1, 2, 3, 4, 6], "; lines 1, 2, 3 and 2 more: no key."),
            (&[1, 1], "; line 1, items 1, 2: no key."),
            (
                &[1, 2, 2],
                "; line 1; line 2, item 1; line 2, item 2: no key.",
            ),
            (&[1, 1, 1, 1], "; line 1, items 1, 2, 3 and 1 more: no key."),
        ] {
            let told = told(lines);
            assert!(told.contains(expected), "{told}");
            assert_eq!(told.matches("no key").count(), 1, "{told}");
        }
    }

    #[test]
    fn counts_lines_of_problems_not_shown() {
        let mut problems = Problems::default();
        for line in 1..=TOLD + 3 {
            problems.add(Place::line(line), format!("problem {line}"));
        }
        let told = ImportError::lines(problems).to_string();
        assert!(told.contains("; and 3 more lines."), "{told}");
    }

    #[test]
    fn lists_each_place_in_order_of_file() {
        let mut problems = Problems::default();
        for (line, sentence) in [(3, "a"), (1, "b"), (2, "a")] {
            problems.add(Place::line(line), sentence.to_owned());
        }
        let listed: Vec<_> = problems
            .places()
            .into_iter()
            .map(|(place, it)| (place.line, it))
            .collect();
        assert_eq!(listed, [(1, "b"), (2, "a"), (3, "a")]);
    }
}
