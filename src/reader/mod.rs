//! Reading a file of keys value by value, without stopping at the first mistake: every problem is written down with its place.
//!
//! `tree` is what the file says, `cursor` a place in it; `values` and `secret` are single values, `login` an account of a device,
//! `uniqueness` what may not be there twice, `schema` the same values in the words of a JSON schema. Which keys there are is known
//! to those who own them: the file and its nodes to [`config`](crate::config), the section of a device to its
//! [`driver`](crate::driver).

pub(crate) mod cursor;
mod environment;
pub(crate) mod login;
pub(crate) mod schema;
pub(crate) mod secret;
pub(crate) mod suggest;
pub(crate) mod tree;
mod uniqueness;
pub(crate) mod values;

use std::path::Path;

pub(crate) use self::cursor::{Cursor, ErrorReported, Keys, Read, listed};
pub use self::environment::Environment;
pub(crate) use self::environment::Host;
pub(crate) use self::login::Login;
pub(crate) use self::uniqueness::{Place, Uniqueness};

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the tree: `nodes[1].tapo.address`. Empty when it is about the whole file.
    pub path: String,
    /// The line, counted from 1, when it is known.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub text: String,
}

impl Problem {
    /// One line: `nodes.yaml:12: nodes[1].tapo.adress: unknown key, did you mean "address"?`.
    pub fn in_file(&self, file: &Path) -> String {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let path = if self.path.is_empty() { String::new() } else { format!(" {}:", self.path) };
        let whole = format!("{}{line}:{path} {}", file.display(), self.text);
        // A line stays a line, whatever stands in the file.
        let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        if whole.contains(char::is_control) { whole.chars().map(shown).collect() } else { whole }
    }
}
