//! Output of commands: text to stdout, tables that fit the terminal, colours on a terminal.

use std::io::{IsTerminal, Write};

use crate::text::is_harmful;

/// Width that tables keep to where there is no terminal that says its own.
const WIDTH: usize = 80;

/// Narrowest width that a terminal is believed to have.
const WIDTH_MIN: usize = 40;

/// What stands where something was cut off.
const CUT: &str = "...";

/// Prints to stdout. A reader that went away (`| head`) is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Says something to stderr, beside what a command prints.
pub fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "plugfish: {text}");
}

/// Whether stdout is a terminal.
pub fn at_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether the output is a terminal with colours enabled.
pub fn in_colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    at_terminal() && !unwanted && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Columns and rows of the terminal, if stdout is one that says so.
pub fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns >= WIDTH_MIN && rows > 1).then_some((columns, rows))
}

/// The colour of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// The default.
    #[default]
    Plain,
    /// Healthy.
    Green,
    /// A warning.
    Yellow,
    /// An error.
    Red,
    /// Secondary text.
    Dim,
}

impl Colour {
    /// The text in this colour, if colours are wanted.
    pub fn paint(self, text: &str, in_colour: bool) -> String {
        let code = match self {
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Red => "31",
            Colour::Dim => "2",
            Colour::Plain => return text.into(),
        };
        if in_colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

/// A text of at most so many characters, on one line.
pub fn cut(text: &str, width: usize) -> String {
    let text: String = text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect();
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width.saturating_sub(CUT.len())).collect();
    format!("{kept}{CUT}")
}

/// Rows under a heading, each column as wide as its widest cell; the last one is cut where the line would not fit.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let plain = |row: &Vec<String>| row.iter().map(|text| (text.clone(), Colour::Plain)).collect();
    coloured_table(heading, &rows.iter().map(plain).collect::<Vec<_>>(), WIDTH, false)
}

/// The same for a terminal.
pub fn terminal_table(heading: &[&str], rows: &[Vec<(String, Colour)>]) -> String {
    let width = terminal_size().map_or(WIDTH, |(columns, _)| columns);
    coloured_table(heading, rows, width, in_colour())
}

fn coloured_table(heading: &[&str], rows: &[Vec<(String, Colour)>], width: usize, in_colour: bool) -> String {
    let heading: Vec<(String, Colour)> = heading.iter().map(|name| ((*name).to_owned(), Colour::Plain)).collect();
    let lines = || std::iter::once(&heading).chain(rows);
    let length =
        |row: &Vec<(String, Colour)>, column: usize| row.get(column).map_or(0, |(text, _)| text.chars().count());
    let widths: Vec<usize> =
        (0..heading.len()).map(|column| lines().map(|row| length(row, column)).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in lines() {
        let last = row.iter().rposition(|(text, _)| !text.is_empty()).map_or(0, |last| last + 1);
        let mut left = width;
        for (index, ((cell, colour), column)) in row.iter().zip(&widths).enumerate().take(last) {
            let gap = if index == 0 { "" } else { "  " };
            let room = left.saturating_sub(gap.len());
            if room < CUT.len() {
                break;
            }
            let cell = cut(cell, room);
            let padding = if index + 1 == last { 0 } else { column.saturating_sub(cell.chars().count()) };
            left = room.saturating_sub(cell.chars().count() + padding);
            text.push_str(gap);
            text.push_str(&colour.paint(&cell, in_colour));
            text.push_str(&" ".repeat(padding));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_80_columns() {
        let rows = vec![
            vec!["node-1".into(), "On".into(), "fine".into()],
            vec!["node-22".into(), "Off".into(), "x".repeat(200)],
        ];
        let text = table(&["NODE", "POWER", "NOTE"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "NODE     POWER  NOTE");
        assert_eq!(lines[1], "node-1   On     fine");
        assert_eq!(lines[2].chars().count(), 80);
        assert!(lines[2].ends_with("..."));
        let wide = table(&["A", "B"], &[vec!["y".repeat(200), "z".into()]]);
        assert!(wide.lines().all(|line| line.chars().count() <= 80), "{wide}");
    }

    #[test]
    fn colours_take_no_room() {
        let row = vec![("on".to_owned(), Colour::Green), ("a\nb".to_owned(), Colour::Plain)];
        let text = coloured_table(&["POWER", "NOTE"], &[row], 20, true);
        assert_eq!(text.lines().nth(1), Some("\x1b[32mon\x1b[0m     a b"));
    }
}
