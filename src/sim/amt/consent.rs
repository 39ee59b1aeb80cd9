//! User consent: six digits on the screen of the machine that the client must repeat. Pure but for the digits.

use std::time::Duration;

use crate::clock::{Mono, secret_bytes};

/// How long the digits are shown.
const DISPLAY: Duration = Duration::from_secs(120);

/// The state of consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Given {
    #[default]
    Not,
    /// These digits are on the screen.
    Shown { code: u32, until: Mono },
    /// The client has sent them.
    Received,
}

impl Given {
    /// `IPS_OptInService.OptInState`.
    pub(super) fn number(self) -> u8 {
        match self {
            Given::Not => 0,
            Given::Shown { .. } => 2,
            Given::Received => 3,
        }
    }

    pub(super) fn settle(&mut self, now: Mono) {
        if matches!(self, Given::Shown { until, .. } if *until <= now) {
            *self = Given::Not;
        }
    }

    pub(super) fn start(&mut self, now: Mono) {
        let code = u32::from_be_bytes(secret_bytes::<4>()) % 900_000 + 100_000;
        *self = Given::Shown { code, until: now + DISPLAY };
    }

    /// The digits on the screen.
    pub(super) fn code(self) -> Option<u32> {
        match self {
            Given::Shown { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether these were the digits.
    pub(super) fn receive(&mut self, said: u32) -> bool {
        let right = self.code() == Some(said);
        if right {
            *self = Given::Received;
        }
        right
    }

    /// Whether there was anything to cancel.
    pub(super) fn cancel(&mut self) -> bool {
        std::mem::take(self) != Given::Not
    }
}
