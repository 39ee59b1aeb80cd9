//! The table of results and targets, and the diagram of growth.

use std::fmt::Write;
use std::path::Path;

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure that has a target.
pub struct Figure {
    what: String,
    aim: Aim,
    seen: f64,
}

impl Figure {
    pub fn new(what: impl Into<String>, aim: Aim, seen: f64) -> Figure {
        Figure { what: what.into(), aim, seen }
    }

    fn is_met(&self) -> bool {
        match self.aim {
            Aim::AtLeast(least) => self.seen >= least,
            Aim::AtMost(most) => self.seen <= most,
        }
    }
}

/// Prints the table; whether all targets are met.
pub fn print(figures: &[Figure]) -> bool {
    println!("\n{:<64} {:>14} {:>9}  met", "", "target", "measured");
    for figure in figures {
        let target = match figure.aim {
            Aim::AtLeast(least) => format!("at least {least}"),
            Aim::AtMost(most) => format!("at most {most}"),
        };
        let met = if figure.is_met() { "yes" } else { "NO" };
        println!("{:<64} {target:>14} {:>9.2}  {met}", figure.what, figure.seen);
    }
    figures.iter().all(Figure::is_met)
}

/// How one figure grew: its name, and what it was with so many nodes.
pub type Growth = (&'static str, Vec<(usize, f64)>);

/// The size of one part of the picture, and the room around it.
const WIDE: f64 = 220.0;
const HIGH: f64 = 200.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;

/// Draws the figures side by side, both axes logarithmic, each over the line on which they would lie if every node cost
/// the same: the one through the first and the last of them.
pub fn draw(file: &Path, growths: &[Growth]) {
    let whole = (WIDE + LEFT) * growths.len() as f64 + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        TOP + HIGH + 50.0
    );
    for (index, (name, points)) in growths.iter().enumerate() {
        let left = LEFT + (WIDE + LEFT) * index as f64;
        part(&mut svg, left, name, points).unwrap();
    }
    svg += "</svg>\n";
    std::fs::write(file, svg).unwrap();
    println!("\n{}: points as measured, the line as if every node cost the same", file.display());
}

fn part(svg: &mut String, left: f64, name: &str, points: &[(usize, f64)]) -> std::fmt::Result {
    let (first, last) = (points[0], points[points.len() - 1]);
    let (fewest, most) = (first.0 as f64, last.0 as f64);
    let (low, high) = points.iter().fold((f64::MAX, 0.0_f64), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    let (low, high) = (low.max(0.001) / 1.5, high.max(0.002) * 1.5);
    let x = |nodes: f64| left + WIDE * (nodes / fewest).ln() / (most / fewest).ln();
    let y = |value: f64| TOP + HIGH * (1.0 - (value.max(low) / low).ln() / (high / low).ln());
    let each = (last.1 - first.1) / (most - fewest);
    let line: Vec<String> = (0..=40)
        .map(|step| fewest * (most / fewest).powf(f64::from(step) / 40.0))
        .map(|nodes| format!("{:.1},{:.1}", x(nodes), y(first.1 + each * (nodes - fewest))))
        .collect();
    writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{name}</text>", TOP - 18.0)?;
    writeln!(svg, "<rect x=\"{left}\" y=\"{TOP}\" width=\"{WIDE}\" height=\"{HIGH}\" fill=\"none\" stroke=\"#999\"/>")?;
    writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#999\" stroke-dasharray=\"4 3\"/>", line.join(" "))?;
    for (nodes, value) in points {
        let (x, y, under) = (x(*nodes as f64), y(*value), TOP + HIGH + 16.0);
        writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#c33\"/>")?;
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.2}</text>", y - 8.0)?;
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{under}\" text-anchor=\"middle\">{nodes}</text>")?;
    }
    writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">nodes</text>", left + WIDE / 2.0, TOP + HIGH + 34.0)
}
