//! Tests of a relay and its computer, change by change.

use super::*;

fn at(seconds: u64) -> Now {
    Now { mono: Mono::after_start(Duration::from_secs(seconds)), wall: Wall(seconds as i64 * 1000) }
}

fn board(on: bool) -> Board {
    Board::new(3, on, PowerLoss::LastState, ComputerConfig::default(), at(0))
}

#[test]
fn a_computer_boots_and_idles() {
    let mut board = board(false);
    assert_eq!(board.draw_mw(at(5).mono), 0);
    board.switch(true, Cause::Client, at(10));
    let booting = board.draw_mw(at(20).mono);
    let idle = board.draw_mw(at(100).mono);
    assert!(booting > idle * 3 / 2, "{booting} {idle}");
    assert!((8_000..50_000).contains(&idle), "{idle}");
    assert_eq!(board.draw_mw(at(100).mono), idle);
    assert_eq!(board.power_ons(), 1);
    assert_eq!(board.on_for(at(100)).as_secs(), 90);
}

#[test]
fn energy_is_what_was_drawn() {
    let mut board = board(true);
    board.settle(at(100));
    let before = board.meter().since_restart_uj();
    board.settle(at(3_700));
    let used = board.meter().since_restart_uj() - before;
    let summed: u64 =
        (200..7_400).map(|half| board.draw_mw(Mono::after_start(Duration::from_millis(half * 500))) * 500).sum();
    assert!(used.abs_diff(summed) < summed / 200, "{used} {summed}");
}

#[test]
fn energy_does_not_depend_on_how_often_one_looks() {
    let (mut once, mut often) = (board(true), board(true));
    (0..600).for_each(|second| often.settle(at(second)));
    once.settle(at(599));
    assert_eq!(once.meter().since_restart_uj(), often.meter().since_restart_uj());
}

#[test]
fn a_countdown_strikes_at_its_own_time() {
    let mut board = board(true);
    board.switch(false, Cause::Client, at(10));
    assert!(board.add_countdown(30, true, at(10)).is_some());
    assert!(board.add_countdown(5, true, at(10)).is_none());
    board.settle(at(1000));
    let last = board.history().last().unwrap();
    assert_eq!((last.at, last.wall, last.on, last.cause), (at(40).mono, at(40).wall, true, Cause::Countdown));
    assert_eq!(board.on_for(at(1000)).as_secs(), 960);
    assert!(board.countdown().is_none());
}

#[test]
fn a_restart_that_holds_the_relay_counts_on_time_anew() {
    let mut board = board(true);
    assert!(board.on_for(at(10)).as_secs() > 3_000, "a rack starts with computers that are up");
    board.restart(at(10));
    assert_eq!(board.on_for(at(15)).as_secs(), 5);
    assert_eq!(board.history().len(), 1);
}

#[test]
fn default_states_say_what_a_power_cut_leaves() {
    let after = |before: bool, power_loss| {
        let mut board = Board::new(1, before, power_loss, ComputerConfig::default(), at(0));
        board.lose_power(Duration::from_secs(8), at(10));
        assert!(!board.relay());
        board.settle(at(20));
        board.relay()
    };
    assert!(after(true, PowerLoss::LastState));
    assert!(!after(false, PowerLoss::LastState));
    assert!(after(false, PowerLoss::On));
    assert!(!after(true, PowerLoss::Off));
}

#[test]
fn a_second_cut_does_not_forget_that_the_relay_was_on() {
    let mut board = board(true);
    board.lose_power(Duration::from_secs(8), at(10));
    board.lose_power(Duration::from_secs(8), at(12));
    board.settle(at(30));
    assert!(board.relay());
    assert_eq!(board.history().last().unwrap().at, at(20).mono);
}

#[test]
fn a_welded_contact_feeds_the_computer_all_the_same() {
    let mut board = board(true);
    let before = board.draw_mw(at(1).mono);
    board.set_load(Load::Welded, at(1));
    board.switch(false, Cause::Client, at(2));
    assert!(!board.relay());
    assert!(board.draw_mw(at(3).mono).abs_diff(before) < before / 5, "it does not even notice");
    board.set_load(Load::Nothing, at(101));
    assert_eq!(board.draw_mw(at(200).mono), 0);
}

#[test]
fn the_meter_lags_behind_a_switch() {
    let mut board = board(true);
    board.switch(false, Cause::Client, at(100));
    let display = Display { lag: Duration::from_secs(2), noise_mw: 0, step_mw: 1 };
    assert!(board.shown_mw(&display, at(101)) > 5_000);
    assert_eq!(board.shown_mw(&display, at(102)), 0);
}

#[test]
fn a_shutdown_in_the_operating_system_leaves_the_relay_and_little_draw() {
    let (mut board, mut asked) = (board(true), board(true));
    let display = Display { lag: Duration::from_secs(2), noise_mw: 0, step_mw: 1 };
    board.act(ComputerAct::ShutDown, at(100));
    asked.act(ComputerAct::ShutDown, at(100));
    board.settle(at(104));
    let busy = board.draw_mw(at(104).mono);
    // No one looks while it happens: it happens in its own time all the same.
    board.settle(at(107));
    assert!(busy > 9_000 && board.shown_mw(&display, at(107)) > 9_000, "the meter lags");
    assert!(board.relay() && board.shown_mw(&display, at(108)) < 1_500);
    board.settle(at(7_306));
    (101..7_306).for_each(|second| asked.settle(at(second)));
    asked.settle(at(7_306));
    assert_eq!(board.meter().since_restart_uj(), asked.meter().since_restart_uj());
    assert_eq!((board.computer().history(), board.history().len()), (asked.computer().history(), 1));
    board.act(ComputerAct::ShutDown, at(7_400));
    assert!(board.shown_mw(&display, at(7_400)) < 1_500, "what changes nothing is not lagged behind");
}

#[test]
fn the_same_seed_is_the_same_computer() {
    let draw = |seed| Board::new(seed, true, PowerLoss::On, ComputerConfig::default(), at(0)).draw_mw(at(77).mono);
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}
