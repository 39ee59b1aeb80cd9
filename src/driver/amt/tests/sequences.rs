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
    // From the front again and again: what came is known after the first time.
    let endless = fixture("pull-partial").replace("15000000", "14000000");
    let mut answers = chips();
    answers[2].1 = endless.clone();
    let (fake, mut wsman) = rig(&answers).await;
    assert_eq!(wsman.enumerate("read", CLASS).await.unwrap().len(), 2);
    assert_eq!(fake.actions()[1..], ["Enumerate", "Pull", "Pull", "Release"]);
    // Empty parts for ever.
    let (start, end) = (endless.find("<g:Items>").unwrap(), endless.find("</g:Items>").unwrap());
    fake.machine().answers[2].1 = format!("{}{}", &endless[..start + 9], &endless[end..]);
    let before = fake.actions().len();
    assert!(wsman.enumerate("read", CLASS).await.unwrap().is_empty());
    let actions = &fake.actions()[before..];
    assert_eq!(
        (actions.iter().filter(|action| *action == "Pull").count(), actions.last().unwrap().as_str()),
        (32, "Release")
    );
    // Many in one answer, and many fields: cut by their number.
    for many in [
        (0..3000).map(|n| format!("<h:CIM_Chip><h:Tag>{n}</h:Tag></h:CIM_Chip>")).collect::<String>(),
        format!("<h:CIM_Chip>{}</h:CIM_Chip>", "<h:Tag/>".repeat(30_000)),
    ] {
        fake.machine().answers[2].1 = endless.replace("<g:Items>", &format!("<g:Items>{many}"));
        let before = fake.actions().len();
        assert!((1..=2000).contains(&wsman.enumerate("read", CLASS).await.unwrap().len()));
        assert_eq!(fake.actions()[before..], ["Enumerate", "Pull", "Release"]);
    }
}

#[tokio::test]
async fn what_came_before_a_pull_failed_is_kept() {
    let mut answers = chips();
    answers[3].1 = fault("w:InvalidRepresentation");
    let (fake, mut wsman) = rig(&answers).await;
    assert_eq!(wsman.enumerate("read", CLASS).await.unwrap().len(), 2);
    assert_eq!(fake.actions()[1..], ["Enumerate", "Pull", "Pull"]);
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
