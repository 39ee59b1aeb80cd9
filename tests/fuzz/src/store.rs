//! Any bytes as the content of the disk: a record of each kind, a key, a state.json.

#![no_main]

mod law;
mod odd;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|bytes: &[u8]| law::linear(bytes, plugfish::testing::store::fuzz::kept));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    odd::mutate(data, size, max_size, seed, 1)
});
