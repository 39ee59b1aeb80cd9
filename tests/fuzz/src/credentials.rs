//! Any bytes as `Authorization`, and as a certificate with its key.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| plugfish::testing::http::fuzz::credentials(bytes));
