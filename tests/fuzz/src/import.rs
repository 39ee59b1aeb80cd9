//! Any text as a configuration of sushy-tools for `plugfish import`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| plugfish::testing::cli::fuzz::sushy(text));
