//! Enumerations: partial, expired, endless, broken off, dropped.

use super::*;

const CLASS: &str = "CIM_Chip";

/// Enumerate, a partial Pull, a last empty one.
fn chips() -> Vec<(&'static str, String)> {
    vec![
        ("/Enumerate<", fixture("enumerate")),
        ("/Release<", fixture("pull-last")),
        ("EnumerationContext>14000000", fixture("pull-partial")),
        ("EnumerationContext>15000000", fixture("pull-last")),
    ]
}

#[tokio::test]
async fn a_sequence_is_pulled_to_its_end() {
    let (fake, mut wsman) = rig(&chips()).await;
    let chips = wsman.enumerate("read", CLASS).await.unwrap();
    let classes: Vec<_> = chips.iter().map(|chip| chip.class.as_str()).collect();
    assert_eq!(classes, ["CIM_Chip", "CIM_PhysicalMemory"]);
    assert_eq!(fake.actions(), ["Enumerate", "Enumerate", "Pull", "Pull"]);
    // Each request has a name of its own.
    let machine = fake.machine();
    let ids: Vec<_> = machine.seen.iter().map(|seen| seen.body.split("MessageID>").nth(1).unwrap()).collect();
    assert_eq!(ids, ["1</a:", "1</a:", "2</a:", "3</a:"]);
}

#[tokio::test]
async fn chunks_of_any_size_are_put_together() {
    for chunks in [vec![1], vec![2, 3, 5, 7, 11], vec![0x220], vec![100_000]] {
        let (fake, mut wsman) = rig(&chips()).await;
        fake.machine().chunks = chunks;
        assert_eq!(wsman.enumerate("read", CLASS).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_expired_context_is_begun_anew_once() {
    let (fake, mut wsman) = rig(&chips()).await;
    let expired = || Trouble::Status(400, fault("w:InvalidEnumerationContext"));
    fake.trouble(&[Trouble::Fine, Trouble::Fine, Trouble::Fine, expired()]);
    assert_eq!(wsman.enumerate("read", CLASS).await.unwrap().len(), 2);
    assert_eq!(fake.actions()[1..], ["Enumerate", "Pull", "Pull", "Enumerate", "Pull", "Pull"]);
    fake.trouble(&[Trouble::Fine, expired(), Trouble::Fine, expired()]);
    let fault = wsman.enumerate("read", CLASS).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Soap(FaultCode::InvalidEnumerationContext));
    assert_eq!(fake.actions().len(), 1 + 6 + 4);
}

#[tokio::test]
async fn a_pull_that_was_lost_is_not_repeated_but_the_whole() {
    for trouble in [Trouble::Close, Trouble::Half, Trouble::Silence, Trouble::Status(500, String::new())] {
        let (fake, mut wsman) = rig_with(&chips(), timing_for(&trouble)).await;
        fake.trouble(&[Trouble::Fine, Trouble::Fine, Trouble::Fine, trouble.clone()]);
        assert_eq!(wsman.enumerate("read", CLASS).await.unwrap().len(), 2, "{trouble:?}");
        let expected = ["Enumerate", "Pull", "Pull", "Release", "Enumerate", "Pull", "Pull"];
        assert_eq!(fake.actions()[1..], expected, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_sequence_without_an_end_is_cut_and_released() {
    let endless = fixture("pull-partial").replace("15000000", "14000000");
    let mut answers = chips();
    answers[2].1 = endless;
    let (fake, mut wsman) = rig(&answers).await;
    let fault = wsman.enumerate("read", CLASS).await.unwrap_err();
    assert_eq!(fault.class(), FailureClass::Protocol, "{fault}");
    let actions = fake.actions();
    assert_eq!(actions.iter().filter(|action| *action == "Pull").count(), 32);
    assert_eq!(actions.last().unwrap(), "Release");
    // Many in one answer: cut by their number.
    let item = "<h:CIM_Chip><h:Tag>x</h:Tag></h:CIM_Chip>";
    let many = fixture("pull-partial")
        .replace("15000000", "14000000")
        .replace("<g:Items>", &format!("<g:Items>{}", item.repeat(999)));
    fake.machine().answers[2].1 = many;
    let before = fake.actions().len();
    assert_eq!(wsman.enumerate("read", CLASS).await.unwrap_err().class(), FailureClass::Protocol);
    assert_eq!(fake.actions()[before..], ["Enumerate", "Pull", "Pull", "Release"]);
}

#[tokio::test]
async fn a_call_that_was_dropped_is_tidied_up_by_the_next() {
    let (fake, mut wsman) = rig(&chips()).await;
    fake.trouble(&[Trouble::Fine, Trouble::Fine, Trouble::Silence]);
    let clock = Clock::system();
    assert!(clock.limit(Duration::from_millis(1000), wsman.enumerate("read", CLASS)).await.is_none());
    assert_eq!(wsman.enumerate("read", CLASS).await.unwrap().len(), 2);
    assert_eq!(fake.actions()[1..], ["Enumerate", "Pull", "Release", "Enumerate", "Pull", "Pull"]);
    let released = fake.machine().seen[3].body.clone();
    assert!(released.contains("14000000-0000-0000-0000-000000000000"), "{released}");
}

#[tokio::test]
async fn a_class_that_is_not_there_is_an_absence_and_costs_one_request() {
    let (fake, mut wsman) = rig(&[("Enumerate", fault("b:DestinationUnreachable"))]).await;
    let fault = wsman.enumerate("read", CLASS).await.unwrap_err();
    assert!(fault.is_absence() && fault.class() == FailureClass::Refused, "{fault}");
    assert_eq!(fake.actions(), ["Enumerate", "Enumerate"]);
}
