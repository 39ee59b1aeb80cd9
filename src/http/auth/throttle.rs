//! Wrong passwords: locked accounts, and addresses that have to wait before the next try.
//!
//! Pure: the time is a parameter. Both are kept in memory only: an attacker cannot cause a restart, and a write for
//! each guess would let unauthenticated clients wear out the disk.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::account::AccessRules;
use crate::clock::Mono;

/// Wrong passwords that an address may send at once. People mistype, and programs with an old password try it in all
/// their workers.
pub(super) const GUESSES_MAX: u32 = 20;

/// How long it takes until one more is allowed.
pub(super) const GUESS_EVERY: Duration = Duration::from_secs(1);

/// Addresses that are remembered; above it the one that is forgotten soonest goes.
pub(super) const SOURCES_MAX: usize = 1024;

/// Wrong passwords by account. As long as it is asked only about accounts that exist, there are no more of them.
#[derive(Default)]
pub(super) struct Lockout(HashMap<String, Failures>);

struct Failures {
    count: u32,
    last: Mono,
    locked_until: Option<Mono>,
}

impl Lockout {
    /// Whether the account takes no password at the moment.
    pub(super) fn is_locked(&self, name: &str, now: Mono) -> bool {
        self.0.get(name).and_then(|failures| failures.locked_until).is_some_and(|until| now < until)
    }

    /// One more wrong password. True when it is the one that locks the account.
    pub(super) fn failed(&mut self, name: &str, rules: &AccessRules, now: Mono) -> bool {
        if rules.lockout_threshold == 0 || rules.lockout_seconds == 0 || self.is_locked(name, now) {
            return false;
        }
        let none = Failures { count: 0, last: now, locked_until: None };
        let failures = self.0.entry(name.to_owned()).or_insert(none);
        let reset = Duration::from_secs(rules.lockout_reset_seconds.into());
        if now.since(failures.last) >= reset || failures.locked_until.is_some() {
            failures.count = 0;
        }
        failures.count += 1;
        failures.last = now;
        let locks = failures.count >= rules.lockout_threshold;
        failures.locked_until = locks.then(|| now + Duration::from_secs(rules.lockout_seconds.into()));
        locks
    }

    /// A right password, or a word of an administrator: nothing is held against the account any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// Wrong passwords by address: each address has [`GUESSES_MAX`], and gets one back every [`GUESS_EVERY`].
#[derive(Default)]
pub(super) struct Throttle(HashMap<Source, Mono>);

/// An address as it is counted; a host with one IPv6 address has the 2^64 around it.
pub(in crate::http) type Source = Option<IpAddr>;

pub(in crate::http) fn source(address: Option<IpAddr>) -> Source {
    address.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    })
}

impl Throttle {
    /// Takes a guess, or says how long to wait for the next one.
    pub(super) fn take(&mut self, address: Option<IpAddr>, now: Mono) -> Result<(), Duration> {
        let source = source(address);
        // The moment at which the address has all its guesses again.
        let whole_at = self.0.get(&source).copied().unwrap_or(now).max(now) + GUESS_EVERY;
        let most = GUESS_EVERY * GUESSES_MAX;
        if whole_at.since(now) > most {
            return Err(whole_at.since(now) - most);
        }
        if self.0.len() >= SOURCES_MAX && !self.0.contains_key(&source) {
            self.0.retain(|_, whole_at| now < *whole_at);
            let soonest = self.0.iter().min_by_key(|(_, whole_at)| **whole_at).map(|(source, _)| *source);
            if let Some(soonest) = soonest.filter(|_| self.0.len() >= SOURCES_MAX) {
                self.0.remove(&soonest);
            }
        }
        self.0.insert(source, whole_at);
        Ok(())
    }

    /// It was no guess: the password was right.
    pub(super) fn give_back(&mut self, address: Option<IpAddr>) {
        if let Some(whole_at) = self.0.get_mut(&source(address)) {
            *whole_at = *whole_at - GUESS_EVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::after_start(Duration::from_secs(seconds))
    }

    fn rules() -> AccessRules {
        AccessRules { lockout_threshold: 3, lockout_seconds: 60, lockout_reset_seconds: 30, ..AccessRules::default() }
    }

    #[test]
    fn an_account_is_locked_for_its_time_and_then_has_all_its_guesses_again() {
        let mut lockout = Lockout::default();
        let mut failed = |seconds| lockout.failed("a", &rules(), at(seconds));
        assert!(!failed(0) && !failed(1) && failed(2), "the third one locks");
        assert!(!failed(3), "it is locked already, and not for longer");
        assert!(lockout.is_locked("a", at(61)) && !lockout.is_locked("a", at(62)) && !lockout.is_locked("b", at(3)));
        let mut failed = |seconds| lockout.failed("a", &rules(), at(seconds));
        assert!(!failed(63) && !failed(64) && failed(65));
        lockout.forget("a");
        assert!(!lockout.is_locked("a", at(65)));
    }

    #[test]
    fn wrong_passwords_far_apart_do_not_add_up() {
        let mut lockout = Lockout::default();
        assert!((0..10).all(|n| !lockout.failed("a", &rules(), at(n * 30))));
        let never = AccessRules { lockout_threshold: 0, ..rules() };
        assert!((0..10).all(|_| !lockout.failed("b", &never, at(0))));
        let never = AccessRules { lockout_seconds: 0, ..rules() };
        assert!((0..10).all(|_| !lockout.failed("b", &never, at(0))));
    }

    #[test]
    fn an_address_has_its_guesses_and_waits_for_more() {
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let mut throttle = Throttle::default();
        assert!((0..GUESSES_MAX).all(|_| throttle.take(one, at(5)) == Ok(())));
        assert_eq!(throttle.take(one, at(5)), Err(GUESS_EVERY));
        assert_eq!(throttle.take("::ffff:192.0.2.1".parse().ok(), at(5)), Err(GUESS_EVERY), "the same address");
        assert_eq!((throttle.take(other, at(5)), throttle.take(None, at(5))), (Ok(()), Ok(())));
        assert_eq!((throttle.take(one, at(6)), throttle.take(one, at(6))), (Ok(()), Err(GUESS_EVERY)));
        throttle.give_back(one);
        assert_eq!((throttle.take(one, at(6)), throttle.take(one, at(6))), (Ok(()), Err(GUESS_EVERY)));
    }

    #[test]
    fn the_addresses_of_one_network_are_one_and_there_are_not_too_many() {
        let mut throttle = Throttle::default();
        for n in 0..GUESSES_MAX {
            assert_eq!(throttle.take(format!("2001:db8::{n:x}").parse().ok(), at(0)), Ok(()));
        }
        assert!(throttle.take("2001:db8::ffff".parse().ok(), at(0)).is_err());
        assert!(throttle.take("2001:db8:0:1::1".parse().ok(), at(0)).is_ok());
        for n in 0..5000u32 {
            assert!(throttle.take(Some(IpAddr::V4(n.into())), at(0)).is_ok());
        }
        assert_eq!(throttle.0.len(), SOURCES_MAX);
        assert!(throttle.take("2001:db8::1".parse().ok(), at(0)).is_err(), "the worst one is kept");
    }
}
