//! Output of the commands: aligned tables, a progress bar, and colours only on a terminal.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use session_lifecycle::clock::Deadline;

/// Style of headings.
pub const BOLD: Style = Style::new().bold();
/// Style of less important text.
pub const DIM: Style = Style::new().dimmed();
/// Style of success.
pub const SUCCESS: Style = AnsiColor::Green.on_default().bold();
/// Style of errors.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Text in a style.
#[must_use]
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes a line to standard output, without colours if it is not a terminal.
///
/// # Errors
///
/// Standard output cannot be written, for instance because the pipe is closed.
pub fn out(line: impl Display) -> io::Result<()> {
    writeln!(anstream::stdout(), "{line}")
}

/// Writes a line to standard error.
pub fn err(line: impl Display) {
    // Ignore errors: stderr is closed.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes a table with the first column aligned left and the others right.
///
/// # Errors
///
/// Standard output cannot be written.
pub fn table<const N: usize>(rows: &[[String; N]]) -> io::Result<()> {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    });
    for row in rows {
        let mut line = String::from("  ");
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let cell = if column == 0 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            };
            line.push_str("  ");
            line.push_str(&cell);
        }
        out(line)?;
    }
    Ok(())
}

/// A progress bar that appears after one second.
pub struct Progress {
    bar: ProgressBar,
    deadline: Deadline,
}

impl Progress {
    /// Makes a progress bar for this number of steps.
    #[must_use]
    pub fn new(steps: u64, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("    {msg} {bar:40} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self {
            bar,
            deadline: Deadline::after(Duration::from_secs(1)),
        }
    }

    /// Advances by one step.
    pub fn step(&self) {
        if self.bar.is_hidden() && self.deadline.remaining().is_zero() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(1);
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
