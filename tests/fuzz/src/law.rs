//! The time limit: a parser takes linear time, with a bound on the work for each byte.
//!
//! An input of eight KiB is too short to reveal a quadratic parser. So a part of it is repeated now and then, up to 64
//! KiB, which is enough: a parser that scans all earlier brackets for each bracket takes seconds for that.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What any input may take: allocations, and what a parser does once.
const AT_ALL: Duration = Duration::from_millis(30);

/// What each byte may take, counters of the fuzzer and all, on a busy machine. The slowest target, `nodes` with a mistake in
/// each line, needs a third of it.
const EACH_BYTE: Duration = Duration::from_micros(10);

/// One in so many inputs is tried grown.
const GROWN_ONE_IN: u32 = 8;

/// How large a grown input is.
const GROWN_BYTES: usize = 64 * 1024;

/// Runs a target on an input, and now and then on a grown one, within the law.
pub fn linear(input: &[u8], run: impl Fn(&[u8])) {
    within(input, &run);
    let sum = input.iter().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    if sum % GROWN_ONE_IN == 0 && !input.is_empty() {
        within(&grown(input, sum / GROWN_ONE_IN), &run);
    }
}

/// The same for a target that takes text.
#[allow(dead_code, reason = "not every target takes text")]
pub fn linear_text(input: &str, run: impl Fn(&str)) {
    linear(input.as_bytes(), |bytes| {
        // A piece may begin or end within a character.
        if let Ok(text) = std::str::from_utf8(bytes) {
            run(text);
        }
    });
}

/// The input with a piece of it repeated.
fn grown(input: &[u8], chance: u32) -> Vec<u8> {
    let chance = usize::try_from(chance).unwrap_or_default();
    // Mostly short pieces: a bracket, an attribute, a line.
    let length = 1 + chance % input.len().min(if chance % 3 == 0 { usize::MAX } else { 16 });
    let start = (chance / 64) % (input.len() - length + 1);
    let (head, rest) = input.split_at(start);
    let (piece, tail) = rest.split_at(length);
    let times = GROWN_BYTES.saturating_sub(head.len() + tail.len()) / length;
    [head, &piece.repeat(times.max(1)), tail].concat()
}

fn within(input: &[u8], run: &impl Fn(&[u8])) {
    let bytes = u32::try_from(input.len()).unwrap_or(u32::MAX);
    let most = AT_ALL + EACH_BYTE * bytes;
    // Time of this thread alone; once more where it was too long, since caches may have been cold.
    let took = || {
        let start = now();
        run(input);
        now() - start
    };
    let took = Some(took()).filter(|first| *first <= most).unwrap_or_else(|| took().min(took()));
    assert!(took <= most, "{took:?} for {bytes} bytes, and {most:?} are allowed");
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let whole = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(whole, u32::try_from(now.tv_nsec).unwrap_or_default())
}
