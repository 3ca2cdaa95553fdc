//! The problems of a file that cannot be imported.

use std::{fmt, io};

/// Maximum number of different problems in a message.
const TOLD: usize = 20;

/// Maximum number of lines named for one problem.
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
    Lines(Problems),
    /// The file has no items.
    Empty,
}

/// Problems and their lines. The same problem in several lines counts as one.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

#[derive(Debug)]
struct Problem {
    sentence: String,
    lines: Vec<usize>,
}

impl Problems {
    /// A single problem.
    #[must_use]
    pub fn one(line: usize, sentence: &str) -> Self {
        let mut problems = Self::default();
        problems.add(line, sentence.to_owned());
        problems
    }

    /// Adds a problem.
    pub fn add(&mut self, line: usize, sentence: String) {
        match self.0.iter_mut().find(|it| it.sentence == sentence) {
            Some(same) => same.lines.push(line),
            None => self.0.push(Problem {
                sentence,
                lines: vec![line],
            }),
        }
    }

    /// Whether there are no problems.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines in order. A line with several problems appears once per problem.
    #[must_use]
    pub fn lines(&self) -> Vec<usize> {
        let mut lines: Vec<_> = self.0.iter().flat_map(|it| it.lines.clone()).collect();
        lines.sort_unstable();
        lines
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = self.lines.clone();
        named.dedup();
        match named[..] {
            // A single line may contain many items.
            [line] if self.lines.len() > 1 => {
                write!(f, "line {line}, {} times", self.lines.len())?;
            }
            [line] => write!(f, "line {line}")?,
            _ => {
                let rest = named.len().saturating_sub(NAMED);
                let first: Vec<_> = named.iter().take(NAMED).map(usize::to_string).collect();
                match rest {
                    0 => write!(f, "lines {}", first.join(", "))?,
                    _ => write!(f, "lines {} and {rest} more", first.join(", "))?,
                }
            }
        }
        write!(f, ": {}", self.sentence)
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => write!(f, "cannot read the file"),
            Self::Empty => write!(f, "the file has no items. {TAKEN}"),
            Self::Lines(Problems(problems)) => {
                write!(f, "the file has lines that are not items in DynamoDB JSON")?;
                for problem in problems.iter().take(TOLD) {
                    write!(f, "; {problem}")?;
                }
                match problems.iter().skip(TOLD).map(|it| it.lines.len()).sum() {
                    0_usize => {}
                    more => write!(f, "; and {more} more lines")?,
                }
                write!(f, ". {TAKEN}")
            }
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Lines(_) | Self::Empty => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_each_problem_once_with_its_lines() {
        let told = |lines: &[usize]| {
            let mut problems = Problems::default();
            for line in lines {
                problems.add(*line, "no key".to_owned());
            }
            ImportError::Lines(problems).to_string()
        };
        for (lines, expected) in [
            (&[7][..], "; line 7: no key."),
            (&[1, 1, 1], "; line 1, 3 times: no key."),
            (&[1, 2, 5], "; lines 1, 2, 5: no key."),
            (&[1, 2, 3, 4, 6], "; lines 1, 2, 3 and 2 more: no key."),
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
            problems.add(line, format!("problem {line}"));
        }
        let told = ImportError::Lines(problems).to_string();
        assert!(told.contains("; and 3 more lines."), "{told}");
    }
}
