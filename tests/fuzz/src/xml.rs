//! Any bytes as a reply of WS-Management: nothing panics, and an instance that is parsed is serialized to the same
//! text.

#![no_main]

mod law;

use libfuzzer_sys::fuzz_target;
use plugfish::testing::driver::amt::fuzz::reply;

fuzz_target!(|bytes: &[u8]| law::linear(bytes, reply));
