//! How far a calibration has got, on stderr: one line that is written again and again on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::clock::Mono;

/// How often a line goes to a log.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// Back to the begin of the line, and nothing on it.
const CLEAR: &str = "\r\x1b[K";

pub(super) struct Progress {
    out: Box<dyn Write>,
    rewrites: bool,
    /// The last line that went to a log.
    last: Mono,
}

impl Progress {
    pub(super) fn to_stderr() -> Progress {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Progress::new(std::io::stderr(), std::io::stderr().is_terminal() && !is_dumb)
    }

    pub(super) fn new(out: impl Write + 'static, rewrites: bool) -> Progress {
        Progress { out: Box::new(out), rewrites, last: Mono::START }
    }

    /// A line that stays. A reader that went away is no reason to stop, here and below.
    pub(super) fn say(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}{text}", if self.rewrites { CLEAR } else { "" });
    }

    /// What is going on at this moment.
    pub(super) fn now(&mut self, text: &str, at: Mono) {
        if self.rewrites {
            let _ = write!(self.out, "{CLEAR}{text}");
            let _ = self.out.flush();
        } else if at.since(self.last) >= PLAIN_EVERY {
            self.last = at;
            self.say(text);
        }
    }

    /// Leaves an empty line to what is written next.
    pub(super) fn clear(&mut self) {
        if self.rewrites {
            let _ = write!(self.out, "{CLEAR}");
            let _ = self.out.flush();
        }
    }
}
