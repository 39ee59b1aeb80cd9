//! What commands print: text to stdout, tables that fit a terminal.

use std::io::Write;

/// Width that tables keep to.
const WIDTH: usize = 80;

/// Prints to stdout. A reader that went away (`| head`) is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Rows under a heading, each column as wide as its widest cell; the last one is cut where the line would not fit.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let longest = rows.iter().map(|row| cell(row, column)).max().unwrap_or(0);
            longest.max(heading.get(column).map_or(0, |name| name.len()))
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        if line.chars().count() <= WIDTH {
            return format!("{line}\n");
        }
        let cut: String = line.chars().take(WIDTH - 3).collect();
        format!("{cut}...\n")
    };
    let mut text = line(heading.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
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
    }
}
