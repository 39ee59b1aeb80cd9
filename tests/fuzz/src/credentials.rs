//! Any bytes as `Authorization`, and as a certificate with its key.

#![no_main]

mod law;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| law::linear(bytes, plugfish::testing::http::fuzz::credentials));
