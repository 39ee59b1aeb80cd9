//! What the tests of this room share: surroundings without environment and disk, and checks of a text.

mod example;
mod fence;
mod inventory;
mod laws;
mod lines;
mod nodes;
mod power;
mod reference;
mod restart;
mod secrets;
mod service;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::*;
use crate::driver::DRIVERS;
use crate::reader::{Environment, listed};

/// Environment and files of a test. The configuration is /etc/plugfish/nodes.yaml.
#[derive(Clone, Default)]
struct Fake {
    vars: HashMap<String, OsString>,
    files: HashMap<PathBuf, Vec<u8>>,
    open_to_all: bool,
}

const FILE: &str = "/etc/plugfish/nodes.yaml";

impl Fake {
    fn new(yaml: &str) -> Fake {
        Fake::default().file("nodes.yaml", yaml)
    }

    fn var(mut self, name: &str, value: &str) -> Fake {
        self.vars.insert(name.into(), value.into());
        self
    }

    fn file(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Fake {
        self.files.insert(Path::new("/etc/plugfish").join(name), bytes.as_ref().into());
        self
    }

    fn load(&self) -> Result<Loaded, ConfigProblems> {
        load_in(Path::new(FILE), self)
    }

    /// The problems without the name of the file.
    fn problems(&self) -> Vec<String> {
        match self.load() {
            Ok(_) => Vec::new(),
            Err(problems) => problems.to_string().lines().map(|line| line[FILE.len() + 1..].trim().into()).collect(),
        }
    }

    #[track_caller]
    fn check(&self, expect: &[&str]) {
        assert_eq!(self.problems(), expect);
    }

    #[track_caller]
    fn config(&self) -> Config {
        match self.load() {
            Ok(loaded) => loaded.config,
            Err(problems) => panic!("{problems}"),
        }
    }
}

impl Environment for Fake {
    fn var(&self, name: &str) -> Option<OsString> {
        self.vars.get(name).cloned()
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = self.files.get(path).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))?;
        Ok(file.iter().copied().take(bytes_max + 1).collect())
    }

    fn everybody_reads(&self, _: &Path) -> bool {
        self.open_to_all
    }
}

/// What is wrong with a text, and nothing else.
#[track_caller]
fn check(yaml: &str, expect: &[&str]) {
    Fake::new(yaml).check(expect);
}

/// What a text without problems says.
#[track_caller]
fn config(yaml: &str) -> Config {
    Fake::new(yaml).config()
}

/// What is said of a node without a section of any driver.
fn no_device() -> String {
    let ways: Vec<String> = DRIVERS.iter().map(|driver| super::nodes::example(driver.section())).collect();
    assert_eq!(ways[..2], ["tapo: { address: 192.0.2.11 }", "amt: { address: 192.0.2.12 }"]);
    format!("has no device; add {}", listed(&ways.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// The lines of a node that is right, to be put behind what is tested. Begins with a line break.
const GOOD: &str = "
nodes: [{ id: a, tapo: { address: h, username: u, password: p } }]
";
