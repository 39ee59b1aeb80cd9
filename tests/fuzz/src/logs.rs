//! Any bytes as the records of the logs of an AMT machine: what is shown of them is in order, and no two have one id.

#![no_main]

mod law;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| law::linear(bytes, plugfish::testing::driver::amt::fuzz::records));
