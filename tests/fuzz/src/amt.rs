//! The parsers of AMT, compiled from their own files: they are pure, so there is no need to build all of plugfish with the
//! flags of the fuzzer, which would take minutes. Each is `plugfish::driver::amt::...` there.

#![allow(dead_code, reason = "no target uses all of it")]

#[path = "../../../src/driver/amt/digest.rs"]
pub mod digest;
#[path = "../../../src/driver/amt/meaning.rs"]
pub mod meaning;
#[path = "../../../src/driver/amt/wsman.rs"]
pub mod wsman;
#[path = "../../../src/driver/amt/xml.rs"]
pub mod xml;
