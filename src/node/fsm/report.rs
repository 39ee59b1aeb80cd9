//! What readers are shown of a machine.

use std::sync::Arc;

use super::Fsm;
use super::command::Command;
use super::graceful::composes_restart;
use super::leg::offers;
use super::seen::Seen;
use crate::node::view::{Condition, NodeView};
use crate::node::{BootMode, BootTarget, Health, PowerAction, ResetType};

impl Fsm {
    /// The picture of this moment.
    pub fn view(&self) -> NodeView {
        let conditions = self.conditions();
        let seen = self.seen.as_ref();
        let connectivity = self.connectivity.view();
        let boot_modes = self.boot_modes();
        let mut boot = self.boot.boot.clone();
        if let [only] = boot_modes {
            boot.mode = *only;
        }
        NodeView {
            id: self.spec.id.clone(),
            inventory: self.inventory.clone(),
            event_log: self.event_log.clone(),
            audit_log: self.audit_log.clone(),
            device: self.spec.device.clone(),
            is_outlet: self.spec.kind.is_outlet,
            sets_power_restore: self.sets_power_restore(),
            about: seen.map(|seen| seen.about.clone()),
            trust: self.trust.clone(),
            power: seen.map(|seen| seen.power).filter(|_| !self.unconfirmed),
            relay: seen.map(|seen| seen.relay).filter(|_| !self.unconfirmed),
            source: self.spec.policy.source,
            seen_at: seen.map(|seen| seen.at),
            seen_mono: seen.and_then(|seen| seen.mono),
            poll_interval: self.spec.timings.poll_interval,
            since: seen.map(|seen| seen.since),
            // The last known power is worth showing for as long as it takes; old watts are not.
            measured: seen.and_then(Seen::last_measured).filter(|_| connectivity.up() && !self.unconfirmed),
            milliwatts: seen
                .and_then(|seen| seen.draws(self.spec.timings.poll_interval))
                .filter(|_| connectivity.up() && !self.unconfirmed),
            energy_wh: seen.filter(|seen| seen.energy_today_wh.is_some()).map(|seen| seen.energy_wh),
            health: conditions.iter().map(|condition| condition.severity).max().unwrap_or(Health::OK),
            conditions,
            resets: self.resets(),
            boot_targets: self.boot_targets(),
            boot_modes,
            boot,
            writes: self.boot.writes,
            command: self.command.as_ref().map(super::Command::view),
            connectivity,
            change: self.change,
        }
    }

    /// What may be asked of the node's power in its present state.
    pub(super) fn resets(&self) -> Vec<ResetType> {
        let offered = |reset: &ResetType| {
            reset.is_composable()
                || reset.native().is_some_and(|order| offers(self.capabilities(), order))
                || *reset == ResetType::GracefulRestart && composes_restart(self.capabilities())
        };
        ResetType::ALL.into_iter().filter(offered).collect()
    }

    /// What a client may choose for the next boot.
    fn boot_targets(&self) -> Arc<[BootTarget]> {
        match (self.capabilities(), &self.spec.boot_targets) {
            (Some(can), _) => can.boot_targets.as_slice().into(),
            (None, Some(said)) => {
                let is_there = |target: &BootTarget| *target == BootTarget::None || said.contains(target);
                BootTarget::ALL.into_iter().filter(is_there).collect()
            }
            (None, None) => self.spec.kind.boot_targets.into(),
        }
    }

    /// Among which boot modes a client may choose; the machine's own where nothing here can change it.
    fn boot_modes(&self) -> &'static [BootMode] {
        match (self.spec.boot_mode, self.spec.kind.boot_modes) {
            (Some(mode), _) => mode.only(),
            (None, []) => BootMode::default().only(),
            (None, choice) => choice,
        }
    }

    /// What kept the command from its end, in words.
    pub(super) fn what_is_missing(&self) -> String {
        let device = &self.spec.device;
        match (self.connectivity.error(), &self.command) {
            (Some(error), _) => format!("{device} does not answer: {error}"),
            (None, Some(Command { obstacle: Some(why), .. })) => format!("{device}: {why}"),
            (None, Some(command))
                if self.spec.policy.graceful.is_some() && command.order() == PowerAction::GracefulOff =>
            {
                self.what_it_draws()
            }
            (None, Some(command)) if command.taken.is_some() => {
                format!("{device} took the order and still does not show {}", command.want())
            }
            (None, _) => format!("{device} was not reached in time"),
        }
    }

    /// What is not well, the worst first.
    fn conditions(&self) -> Vec<Condition> {
        let mut conditions = Vec::new();
        if let Some((message, severity, text, at)) = self.connectivity.trouble(&self.spec.device, self.spec.kind) {
            conditions.push(Condition { message, severity, text, at });
        }
        if let Some((text, command)) =
            self.command.as_ref().and_then(|c| c.overdue_words().map(|text| (text, c.view())))
        {
            let at = command.accepted;
            conditions.push(Condition { message: "CommandOverdue", severity: Health::Critical, text, at });
        }
        if let Some(failed) = &self.failed {
            let (message, severity) = ("CommandFailed", Health::Warning);
            conditions.push(Condition { message, severity, text: failed.text.clone(), at: failed.at });
        }
        for (notice, at) in &self.notices {
            let (message, severity) = ("DeviceNotice", Health::Warning);
            conditions.push(Condition { message, severity, text: notice.text.clone(), at: *at });
        }
        conditions.sort_by_key(|condition| std::cmp::Reverse(condition.severity));
        conditions
    }
}

impl From<&Fsm> for Arc<NodeView> {
    fn from(fsm: &Fsm) -> Arc<NodeView> {
        Arc::new(fsm.view())
    }
}
