//! Any bytes as nodes.yaml: nothing panics; errors have line numbers that exist, and contain no secrets of files; a
//! valid file parses to the same result again.

#![no_main]

mod law;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plugfish::testing::config::{Environment, load_in, needs_restart};

const FILE: &str = "/etc/plugfish/nodes.yaml";
const SECRET: &str = "quite secret";

struct Around<'a>(&'a [u8]);

impl Environment for Around<'_> {
    fn var(&self, name: &str) -> Option<OsString> {
        (name == "SECRET").then(|| SECRET.into())
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some(FILE) => Ok(self.0.iter().copied().take(bytes_max + 1).collect()),
            Some("/etc/plugfish/s") => Ok(format!("{SECRET}\n").into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn everybody_reads(&self, _: &Path) -> bool {
        true
    }
}

fuzz_target!(|bytes: &[u8]| law::linear(bytes, load_twice));

fn load_twice(bytes: &[u8]) {
    let load = || load_in(Path::new(FILE), &Around(bytes));
    match load() {
        Ok(loaded) => {
            assert_eq!(load().as_ref(), Ok(&loaded));
            assert!(needs_restart(&loaded.config, &loaded.config).is_empty());
            assert!(!format!("{loaded:?}").contains(SECRET));
        }
        Err(told) => {
            assert!(!told.problems.is_empty());
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            for problem in &told.problems {
                assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?}");
                let said = problem.in_file(Path::new(FILE));
                assert!(!said.contains(char::is_control) && !said.contains(SECRET), "{said}");
            }
        }
    }
}
