//! Any bytes as any answer of a Tapo plug, in each of its variants, and the values parsed from its JSON.

#![no_main]

mod law;
mod odd;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|bytes: &[u8]| law::linear(bytes, plugfish::testing::driver::tapo::fuzz::answer));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    odd::mutate(data, size, max_size, seed, 1)
});
