//! Any bytes as the records of the logs of an AMT machine: the entries are in order, and ids are unique.

#![no_main]

mod law;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| law::linear(bytes, plugfish::testing::driver::amt::fuzz::records));
