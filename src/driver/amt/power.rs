//! The numbers of CIM_AssociatedPowerManagementService and CIM_PowerManagementService, and what they mean. Pure.

use super::fault::{Fault, Kind};
use super::xml::Instance;
use crate::node::device::{DeviceError, FailureClass};
use crate::node::{Power, PowerAction};

/// The class that tells the state.
pub(super) const STATE_CLASS: &str = "CIM_AssociatedPowerManagementService";

/// The class that takes requests.
pub(super) const REQUEST_CLASS: &str = "CIM_PowerManagementService";

/// Its method.
pub(super) const REQUEST_METHOD: &str = "RequestPowerStateChange";

/// The orders, in the order in which they are listed.
const ORDERS: [PowerAction; 7] = [
    PowerAction::On,
    PowerAction::Off,
    PowerAction::Cycle,
    PowerAction::Reset,
    PowerAction::GracefulOff,
    PowerAction::GracefulReset,
    PowerAction::Nmi,
];

/// The number of an order.
pub(super) const fn number_of(order: PowerAction) -> u32 {
    match order {
        PowerAction::On => 2,
        PowerAction::Cycle => 5,
        PowerAction::Off => 8,
        PowerAction::Reset => 10,
        PowerAction::Nmi => 11,
        PowerAction::GracefulOff => 12,
        PowerAction::GracefulReset => 14,
    }
}

/// What a PowerState means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The machine rests in this state.
    At(Power),
    /// It is on its way from one state to another.
    Between,
    /// Not known. Never to be taken for off.
    Unknown,
}

impl State {
    /// What a number means.
    pub(super) const fn of(number: u32) -> State {
        match number {
            2 => State::At(Power::On),
            3 | 4 => State::At(Power::Asleep),
            // Hibernated, hard off (after a loss of mains) and the normal off.
            6..=8 => State::At(Power::Off),
            5 | 9 | 10 | 12..=16 => State::Between,
            _ => State::Unknown,
        }
    }

    /// The state, if it is one to rest in.
    pub(super) const fn power(self) -> Option<Power> {
        match self {
            State::At(power) => Some(power),
            State::Between | State::Unknown => None,
        }
    }
}

/// What a machine says about its power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PowerReading {
    /// `PowerState`.
    pub number: u32,
    /// `RequestedPowerState`: the number of the last request that was taken.
    pub requested: Option<u32>,
    /// The orders in `AvailableRequestedPowerStates`, always in the same order; `None` where the machine has no such list.
    pub offered: Option<Vec<PowerAction>>,
}

impl PowerReading {
    /// Reads an instance; `None` when it does not tell the state.
    pub(super) fn of(instance: &Instance) -> Option<PowerReading> {
        const LIST: &str = "AvailableRequestedPowerStates";
        let listed: Vec<u32> = instance.list(LIST).filter_map(|text| text.parse().ok()).collect();
        let offered = || ORDERS.into_iter().filter(|order| listed.contains(&number_of(*order))).collect();
        Some(PowerReading {
            number: instance.number("PowerState")?,
            requested: instance.number("RequestedPowerState"),
            offered: instance.has(LIST).then(offered),
        })
    }

    /// What its number means.
    pub(super) const fn state(&self) -> State {
        State::of(self.number)
    }

    /// Why this order cannot be given now; `None` when it can, as far as the machine tells.
    pub(super) fn obstacle(&self, order: PowerAction) -> Option<String> {
        if self.state() == State::Between {
            return Some(format!("it is between two states (PowerState {}), and takes no order", self.number));
        }
        // On and off are for the machine to refuse: lists were recorded that name the orders of one state in every state.
        let listed = |offered: &&Vec<PowerAction>| {
            matches!(order, PowerAction::On | PowerAction::Off) || offered.contains(&order)
        };
        let offered = self.offered.as_ref().filter(|offered| !listed(offered))?;
        Some(format!("it does not offer \"{}\" now: {}", order.name(), self.situation(offered)))
    }

    fn situation(&self, offered: &[PowerAction]) -> String {
        let names: Vec<&str> = offered.iter().map(|order| order.name()).collect();
        let offers = if names.is_empty() { "nothing".into() } else { format!("only {}", names.join(", ")) };
        match self.state().power() {
            Some(power) => format!("it is {power} and offers {offers}"),
            None => format!("its PowerState is {} and it offers {offers}", self.number),
        }
    }

    /// This reading, made after a request for this order, shows that it was taken, which `before` did not.
    pub(super) fn shows_taken(&self, order: PowerAction, before: &PowerReading) -> bool {
        let number = Some(number_of(order));
        self.requested == number && before.requested != number
    }

    /// What to make of a failed request for this order, made after this reading.
    pub(super) fn explain(&self, order: PowerAction, fault: Fault) -> DeviceError {
        let Kind::Returned(value) = fault.kind else { return fault.into() };
        let mut text = format!("it did not take \"{}\": {fault}", order.name());
        // The firmware's answer to anything that does not fit: the state says more than the number.
        if value == 2
            && let Some(offered) = &self.offered
        {
            text = format!("{text}; {}", self.situation(offered));
            if matches!(order, PowerAction::Off | PowerAction::Cycle) && offered.contains(&order) {
                text.push_str(
                    "; off and cycle are refused while a remote session (SOL, IDER, KVM) is open or a start is under way",
                );
            }
        }
        DeviceError::new(class_of(value), text)
    }
}

/// Whether a ReturnValue of a CIM_ method tells of something that passes.
pub(super) const fn class_of(return_value: u32) -> FailureClass {
    match return_value {
        // Not in this state, timed out, in use, invalid transition, busy.
        2 | 3 | 6 | 4097 | 4099 => FailureClass::NotReady,
        _ => FailureClass::Refused,
    }
}

/// Whether a ReturnValue of a CIM_ method means that the machine does it.
pub(super) const fn is_taken(return_value: u32) -> bool {
    // 4096: it does it as a job.
    matches!(return_value, 0 | 4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::amt::xml::Value;

    fn instance(state: Option<&str>, list: &[&str]) -> Instance {
        let state = state.map(|state| ("PowerState".into(), Value::from(state)));
        let list = list.iter().map(|number| ("AvailableRequestedPowerStates".into(), Value::from(*number)));
        Instance { class: STATE_CLASS.into(), fields: state.into_iter().chain(list).collect() }
    }

    fn reading(state: &str, list: &[&str]) -> PowerReading {
        PowerReading::of(&instance(Some(state), list)).unwrap()
    }

    #[test]
    fn every_number_of_the_schema_has_a_meaning_and_no_unknown_one_is_off() {
        let expected = [
            (2, State::At(Power::On)),
            (3, State::At(Power::Asleep)),
            (4, State::At(Power::Asleep)),
            (5, State::Between),
            (6, State::At(Power::Off)),
            (7, State::At(Power::Off)),
            (8, State::At(Power::Off)),
            (9, State::Between),
            (10, State::Between),
            (12, State::Between),
            (13, State::Between),
            (14, State::Between),
            (15, State::Between),
            (16, State::Between),
        ];
        for number in (0..=40).chain([255, 65_535, u32::MAX]) {
            let known = expected.iter().find(|(known, _)| *known == number).map(|(_, state)| *state);
            assert_eq!(State::of(number), known.unwrap_or(State::Unknown), "{number}");
        }
    }

    #[test]
    fn the_orders_of_the_list_are_those_of_the_request() {
        let numbers = ORDERS.map(number_of);
        assert_eq!(numbers, [2, 8, 5, 10, 12, 14, 11]);
        assert_eq!(reading("8", &["2"]).offered.as_deref(), Some(&[PowerAction::On][..]));
        let with_os = reading("2", &["10", "8", "5", "11", "4", "7", "14", "12"]).offered.unwrap();
        use PowerAction::{Cycle, GracefulOff, GracefulReset, Nmi, Off, Reset};
        assert_eq!(with_os, [Off, Cycle, Reset, GracefulOff, GracefulReset, Nmi]);
        assert_eq!(reading("2", &["11", "5", "8", "10"]), reading("2", &["10", "8", "5", "11"]));
    }

    #[test]
    fn what_is_missing_or_senseless_is_not_guessed() {
        assert_eq!(PowerReading::of(&instance(None, &["2"])), None);
        for state in ["", "on", "-1", "2.0", "99999999999"] {
            assert_eq!(PowerReading::of(&instance(Some(state), &[])), None, "{state}");
        }
        assert_eq!(reading(" 2 ", &["x", "8", "99"]).offered.as_deref(), Some(&[PowerAction::Off][..]));
        assert_eq!(reading("2", &[]).offered, None);
        assert_eq!(reading("2", &[]).obstacle(PowerAction::Off), None);
        assert_eq!(reading("2", &["x"]).offered.as_deref(), Some(&[][..]));
    }

    #[test]
    fn obstacles_name_the_state_and_what_there_is() {
        assert_eq!(reading("8", &["2"]).obstacle(PowerAction::On), None);
        let off = reading("8", &["2"]).obstacle(PowerAction::Reset).unwrap();
        assert_eq!(off, "it does not offer \"reset\" now: it is Off and offers only on");
        let none = reading("2", &["99"]).obstacle(PowerAction::Cycle).unwrap();
        assert_eq!(none, "it does not offer \"cycle\" now: it is On and offers nothing");
        assert!(
            reading("10", &["8"]).obstacle(PowerAction::Off).unwrap().contains("between two states (PowerState 10)")
        );
    }

    #[test]
    fn a_list_that_never_changes_keeps_no_machine_off() {
        let recorded = ["10", "8", "5", "11", "4", "7", "14", "12"];
        assert_eq!(reading("8", &recorded).obstacle(PowerAction::On), None);
        assert_eq!(reading("2", &["2"]).obstacle(PowerAction::Off), None);
        assert!(reading("9", &recorded).obstacle(PowerAction::On).unwrap().contains("between two states"));
    }

    #[test]
    fn return_values_are_waited_out_or_final() {
        let on = reading("2", &["8", "10"]);
        let explained = |value| on.explain(PowerAction::Off, Fault::returned(REQUEST_CLASS, REQUEST_METHOD, value));
        for value in [2, 3, 6, 4097, 4099] {
            assert_eq!(explained(value).class, FailureClass::NotReady, "{value}");
        }
        for value in [1, 4, 5, 0x10, 4098, 77] {
            assert_eq!(explained(value).class, FailureClass::Refused, "{value}");
        }
        let text = explained(2).text;
        assert!(text.contains("it is On and offers only off, reset") && text.contains("remote session"), "{text}");
        assert!(!explained(1).text.contains("remote session"));
        let lost = on.explain(PowerAction::Off, Fault::new(Kind::Unanswered, "no answer"));
        assert_eq!((lost.class, lost.text.as_str()), (FailureClass::Timeout, "no answer"));
    }
}
