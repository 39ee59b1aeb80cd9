//! What a plug feels: the real pace, in real time since sockets and virtual time do not mix. The slowest tests here.

use super::*;

/// The most requests in any second.
fn rush(seen: &[fake::Seen]) -> usize {
    let within = |from: &fake::Seen| {
        let second = Duration::from_secs(1);
        seen.iter().filter(|other| other.at >= from.at && other.at.since(from.at) < second).count()
    };
    seen.iter().map(within).max().unwrap_or(0)
}

#[tokio::test]
async fn no_plug_feels_more_than_it_bears_whatever_it_does() {
    let mut plug = Plug::new(klap()).strip(&[1, 2], &[]);
    plug.loses_one_in = 4;
    let fake = FakePlug::start(plug).await;
    let (plugs, metrics) = (Plugs::new(quick()), Metrics::new());
    let open = |outlet: u8| {
        let config = TapoConfig { outlet: Some(outlet), ..config(fake.port) };
        plugs.open(&config, context(&format!("node-{outlet}"), RATE_LIMIT, &metrics))
    };
    let work = [open(0), open(1)].map(|mut device| async move {
        // As the machine above does it: again until it is seen.
        while device.order(PowerAction::On, BootOverride::default()).await.is_err()
            || device.read().await.map(|seen| seen.power) != Ok(Some(Power::On))
        {}
    });
    futures_util::future::join_all(work).await;
    let plug = fake.plug();
    assert!(plug.seen.len() >= 8, "{}", plug.seen.len());
    assert!(rush(&plug.seen) <= 5, "{}", rush(&plug.seen));
    assert_eq!((plug.requests_max, plug.connections_max), (1, 1));
    let gaps = plug.seen.windows(2).map(|pair| pair[1].at.since(pair[0].at));
    assert!(gaps.min().unwrap() >= Duration::from_millis(245));
}
