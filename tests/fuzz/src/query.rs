//! Any text as the query of a read: nothing panics or grows without bound, a filter and its negation partition the
//! members, and the link to the next page is a valid query.

#![no_main]

mod law;

use libfuzzer_sys::fuzz_target;
use plugfish::testing::redfish::query::filter::Filter;
use plugfish::testing::redfish::query::{Query, first_page};
use plugfish::testing::redfish::resource::Resource;
use serde_json::{Value, json};

const BOXES: usize = 5;

fn resource(body: Value) -> Resource {
    let Value::Object(body) = body else { unreachable!() };
    Resource { schema: "Test", body, etag: None }
}

/// A collection whose members have links to each other, above and to nowhere.
fn look_up(uri: &str) -> Option<Resource> {
    let body = match uri {
        "/b" => {
            let members: Vec<Value> = (0..BOXES).map(|number| json!({ "@odata.id": format!("/b/{number}") })).collect();
            json!({ "@odata.id": "/b", "Members@odata.count": BOXES, "Members": members })
        }
        _ => {
            let number: usize = uri.strip_prefix("/b/")?.parse().ok().filter(|number| *number < BOXES)?;
            json!({
                "@odata.id": uri, "Id": number.to_string(), "Size": number, "On": number % 2 == 0,
                "Status": { "State": "Enabled" }, "Next": { "@odata.id": format!("/b/{}", number + 1) },
                "Links": { "All": { "@odata.id": "/b" }, "Gone": [{ "@odata.id": "/gone" }] },
            })
        }
    };
    Some(resource(body))
}

/// How many `not` stand before each other: each is a level of the reader's recursion.
fn nots(filter: &Filter) -> usize {
    match filter {
        Filter::And(left, right) | Filter::Or(left, right) => nots(left).max(nots(right)),
        Filter::Not(inner) => 1 + nots(inner),
        Filter::Compare(..) => 0,
    }
}

fuzz_target!(|text: &str| law::linear_text(text, ask));

fn ask(text: &str) {
    if let Ok(filter) = Filter::parse(text) {
        assert!(nots(&filter) <= 16);
        let opposite = Filter::parse(&format!("not ({text})"));
        let chosen = (0..BOXES).filter_map(|number| look_up(&format!("/b/{number}")));
        for body in chosen.map(|found| Value::Object(found.body)) {
            // One more level may be one too many.
            if let Ok(opposite) = &opposite {
                assert_ne!(filter.holds(&body), opposite.holds(&body));
            }
        }
    }
    let query = match Query::parse(text) {
        Ok(Some(query)) => query,
        Ok(None) => return,
        Err(fault) => {
            assert!((400..=501).contains(&fault.status));
            assert!(fault.body().to_string().len() < 8000);
            return;
        }
    };
    for uri in ["/b", "/b/1"] {
        let Ok(found) = query.apply(look_up(uri).unwrap(), &look_up) else { continue };
        assert!(Value::Object(found.body.clone()).to_string().len() < 4_000_000);
        let next = found.body.get("Members@odata.nextLink").and_then(Value::as_str);
        if let Some((_, query)) = next.and_then(|link| link.split_once('?')) {
            assert!(matches!(Query::parse(query), Ok(Some(_))), "{query}");
        }
        let _ = first_page(found);
    }
}
