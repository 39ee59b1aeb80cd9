//! Any text as a configuration of sushy-tools for `plugfish import`.

#![no_main]

mod law;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| law::linear_text(text, plugfish::testing::cli::fuzz::sushy));
