//! What is wrong with a file: where, what, and what to do.
//!
//! It knows how problems look and how one keeps quiet about what another has said already; not what can be wrong.

use std::fmt;
use std::path::PathBuf;

/// Problems that are shown. Whoever has more of them repairs these first.
pub const PROBLEMS_MAX: usize = 100;

/// One step from a value to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// An item of a list, counted from 0.
    Item(usize),
}

/// The way to a value: `nodes[3].tapo.address`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The value of a key at the top.
    pub fn top(key: &str) -> Path {
        Path::default().key(key)
    }

    /// The value of a key of this one.
    #[must_use]
    pub fn key(&self, key: &str) -> Path {
        self.with(Step::Key(key.into()))
    }

    /// An item of this one.
    #[must_use]
    pub fn item(&self, index: usize) -> Path {
        self.with(Step::Item(index))
    }

    /// A way that goes on from this one.
    pub fn join(&self, rest: Path) -> Path {
        let mut path = self.clone();
        path.0.extend(rest.0);
        path
    }

    fn with(&self, step: Step) -> Path {
        let mut path = self.clone();
        path.0.push(step);
        path
    }

    /// The value that this one is in.
    pub fn parent(&self) -> Option<Path> {
        let (_, rest) = self.0.split_last()?;
        Some(Path(rest.to_vec()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if n == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `nodes[3].tapo.address`; empty for the whole file.
    pub path: String,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Everything that is wrong with a file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems {
    /// The file as it was named.
    pub file: PathBuf,
    /// At least one, at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Problems beyond [`PROBLEMS_MAX`].
    pub more: usize,
}

/// One line for each, the way compilers write them: `nodes.yaml:12: nodes[1].tapo.adress: unknown key, did you ...`.
impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some(line) = problem.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n{}: and {} more problems", self.file.display(), self.more)?;
        }
        Ok(())
    }
}

/// Without the file and the line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)?;
        match &self.hint {
            Some(hint) => write!(f, ", {hint}"),
            None => Ok(()),
        }
    }
}

/// A problem with its way, before its line is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The way to it.
    pub path: Path,
    /// It is about the second of two equal keys.
    pub again: bool,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub struct Findings {
    found: Vec<Finding>,
    /// What was found wrong already: nothing more is said about it and what is in it.
    touched: Vec<Path>,
}

impl Findings {
    /// Notes something about the form of a value, and keeps all rules quiet about it. `meant` is the key that an unknown
    /// key was surely meant to be. When something inside the value was taken out before, this is only what comes of it,
    /// and nothing is said.
    pub fn form(&mut self, finding: Finding, meant: Option<Path>) {
        let follows =
            self.touched.iter().any(|touched| touched.0.starts_with(&finding.path.0) && touched != &finding.path);
        self.touched.push(finding.path.clone());
        self.touched.extend(meant);
        if !follows {
            self.found.push(finding);
        }
    }

    /// Notes that a rule is broken, unless something was said about the value already.
    pub fn rule(&mut self, path: &Path, text: impl Into<String>) {
        self.rule_hint(path, text, None::<String>);
    }

    /// As [`rule`](Findings::rule), with what to do about it.
    pub fn rule_hint(&mut self, path: &Path, text: impl Into<String>, hint: impl Into<Option<String>>) {
        if !self.is_touched(path) {
            let (text, hint) = (text.into(), hint.into());
            self.found.push(Finding { path: path.clone(), again: false, text, hint });
        }
    }

    /// Whether something was said about this value, or one that it is in.
    pub fn is_touched(&self, path: &Path) -> bool {
        self.touched.iter().any(|touched| path.0.starts_with(&touched.0))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Finding> {
        self.found
    }
}

/// The candidate that `word` was probably meant to be: at most a third of it is different, or one begins with the other.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let rated =
        candidates.clone().into_iter().map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate));
    let (distance, candidate) = rated.min_by_key(|(distance, _)| *distance)?;
    if distance <= candidate.chars().count().max(3) / 3 {
        return Some(candidate);
    }
    let begins = |a: &str, b: &str| b.len() >= 3 && a.starts_with(b);
    candidates.into_iter().find(|candidate| begins(candidate, &lower) || begins(&lower, candidate))
}

/// How many letters have to be changed, added, removed or exchanged with their neighbour to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    // Words over this length are no keys of ours; the work grows with the square.
    let to: Vec<char> = to.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
    for (n, a) in from.chars().take(64).enumerate() {
        let mut next = vec![n + 1];
        for (m, b) in to.iter().enumerate() {
            let change = at(&row, m) + usize::from(a != *b);
            let mut best = change.min(at(&row, m + 1) + 1).min(at(&next, m) + 1);
            let crossed = m > 0 && last == Some(*b) && to.get(m - 1) == Some(&a);
            if crossed {
                best = best.min(at(&before, m - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(a);
    }
    at(&row, to.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("adress", "address", 1),
            ("adderss", "address", 1),
            ("kitten", "sitting", 3),
            ("tapo", "amt", 3),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn the_nearest_key_is_named_only_if_it_is_near() {
        let keys = ["id", "tapo", "amt", "poll_interval", "off_dwell"];
        for (word, expected) in [
            ("Tapo", Some("tapo")),
            ("tappo", Some("tapo")),
            ("pollinterval", Some("poll_interval")),
            ("poll-interval", Some("poll_interval")),
            ("ids", Some("id")),
            ("poll", Some("poll_interval")),
            ("amt_machine", Some("amt")),
            ("wattage", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn nothing_is_said_twice() {
        let mut findings = Findings::default();
        let node = Path::top("nodes").item(3);
        let finding = Finding { path: node.key("tapo"), again: false, text: "x".into(), hint: None };
        findings.form(finding, Some(node.key("amt")));
        findings.rule(&node.key("tapo").key("address"), "missing");
        findings.rule(&node.key("amt"), "missing");
        assert_eq!(findings.len(), 1);
        findings.rule(&node.key("tap"), "other");
        findings.rule(&Path::top("nodes"), "other");
        assert_eq!(findings.len(), 3);
    }

    #[test]
    fn problems_are_shown_one_a_line() {
        let problem = |line| Problem {
            path: "nodes[1].tapo.adress".into(),
            line,
            text: "unknown key".into(),
            hint: Some("did you mean \"address\"?".into()),
        };
        let problems =
            ConfigProblems { file: "nodes.yaml".into(), problems: vec![problem(Some(12)), problem(None)], more: 2 };
        assert_eq!(
            problems.to_string(),
            "nodes.yaml:12: nodes[1].tapo.adress: unknown key, did you mean \"address\"?\n\
             nodes.yaml: nodes[1].tapo.adress: unknown key, did you mean \"address\"?\n\
             nodes.yaml: and 2 more problems"
        );
    }
}
