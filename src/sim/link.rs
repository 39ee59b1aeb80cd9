//! Whether a plug is reachable: offline, restarting, overloaded, or asleep until a client searches for it.
//!
//! Pure: a call passes the time, and the answer says until when it is valid. The sockets follow it.

use std::time::Duration;

use crate::clock::Mono;

/// A time in which the plug is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    pub from: Mono,
    pub until: Mono,
    /// Takes connections and says nothing, instead of refusing them.
    pub silent: bool,
    pub keeps_relay: bool,
}

/// What of the plug can be reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    offline: bool,
    refusing: bool,
    asleep: Option<Sleep>,
    /// The outage that has begun.
    outage: Option<Outage>,
    /// The planned outage.
    planned: Option<Outage>,
    cuts: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sleep {
    wake_delay: Duration,
    /// Set by a probe.
    wakes: Option<Mono>,
}

/// What the sockets are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Whether TCP connections are taken.
    pub listens: bool,
    /// Whether nothing is said on those taken.
    pub silent: bool,
    /// Whether discovery is answered.
    pub discovers: bool,
    /// End of the answer's validity.
    pub until: Option<Mono>,
    /// Connections made at a smaller number are to end.
    pub cuts: u64,
}

impl Link {
    pub(super) fn reach(&self, now: Mono) -> Reach {
        let outage = self.outage.filter(|outage| now < outage.until);
        let asleep = self.asleep.filter(|sleep| sleep.wakes.is_none_or(|wakes| now < wakes));
        let away = self.offline || outage.is_some_and(|outage| !outage.silent);
        let until = [
            outage.map(|outage| outage.until),
            asleep.and_then(|sleep| sleep.wakes),
            self.planned.map(|outage| outage.from),
        ];
        Reach {
            listens: !away && !self.refusing && asleep.is_none(),
            silent: outage.is_some_and(|outage| outage.silent),
            discovers: !self.offline && outage.is_none(),
            until: until.into_iter().flatten().min(),
            cuts: self.cuts,
        }
    }

    /// Plans an outage.
    pub(super) fn plan(&mut self, outage: Outage) {
        self.planned = Some(outage);
    }

    /// Begins the planned outage if its time has come, and returns it.
    pub(super) fn begin_planned(&mut self, now: Mono) -> Option<Outage> {
        let outage = self.planned.take_if(|outage| outage.from <= now)?;
        self.outage = Some(outage);
        self.cut();
        Some(outage)
    }

    pub(super) fn set_offline(&mut self, offline: bool) {
        self.offline = offline;
        if offline {
            self.cut();
        }
    }

    pub(super) fn set_refusing(&mut self, refusing: bool) {
        self.refusing = refusing;
        if refusing {
            self.cut();
        }
    }

    pub(super) fn sleep(&mut self, wake_delay: Duration) {
        self.asleep = Some(Sleep { wake_delay, wakes: None });
        self.cut();
    }

    /// Someone looked for the plug. `true` if that wakes it.
    pub(super) fn probed(&mut self, now: Mono) -> bool {
        match &mut self.asleep {
            Some(sleep) if sleep.wakes.is_none() => {
                sleep.wakes = Some(now + sleep.wake_delay);
                true
            }
            _ => false,
        }
    }

    /// Ends all connections that there are.
    pub(super) fn cut(&mut self) {
        self.cuts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::after_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_sleeping_plug_is_woken_by_a_probe_and_only_once() {
        let mut link = Link::default();
        link.sleep(Duration::from_millis(1500));
        assert!(!link.reach(at(0)).listens && link.reach(at(0)).discovers);
        assert_eq!(link.reach(at(900_000)).until, None);
        assert!(link.probed(at(1000)));
        assert!(!link.probed(at(2000)));
        assert!(!link.reach(at(2499)).listens);
        assert_eq!(link.reach(at(2000)).until, Some(at(2500)));
        assert!(link.reach(at(2500)).listens);
    }

    #[test]
    fn an_outage_comes_and_goes() {
        let mut link = Link::default();
        link.plan(Outage { from: at(100), until: at(200), silent: false, keeps_relay: true });
        assert!(link.begin_planned(at(99)).is_none());
        assert_eq!(link.reach(at(99)).until, Some(at(100)));
        let before = link.reach(at(99)).cuts;
        assert!(link.begin_planned(at(100)).is_some());
        let reach = link.reach(at(150));
        assert!(!reach.listens && !reach.discovers && reach.cuts > before);
        assert_eq!(reach.until, Some(at(200)));
        assert!(link.reach(at(200)).listens);
    }

    #[test]
    fn a_silent_outage_takes_connections() {
        let mut link = Link::default();
        link.plan(Outage { from: at(0), until: at(200), silent: true, keeps_relay: true });
        link.begin_planned(at(0));
        assert!(link.reach(at(1)).listens && link.reach(at(1)).silent);
        assert!(!link.reach(at(200)).silent);
    }

    #[test]
    fn refusing_leaves_discovery() {
        let mut link = Link::default();
        link.set_refusing(true);
        assert!(!link.reach(at(0)).listens && link.reach(at(0)).discovers);
        link.set_offline(true);
        assert!(!link.reach(at(0)).discovers);
    }
}
