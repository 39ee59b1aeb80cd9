//! Tests of each parameter in tables, and of hostile texts.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn resource(body: Value) -> Resource {
    let Value::Object(body) = body else { panic!() };
    Resource { schema: "Test", body, etag: None }
}

fn box_of(number: usize) -> Value {
    let uri = format!("/boxes/{number}");
    json!({
        "@odata.id": uri, "@odata.type": "#Box", "Id": format!("{number}"), "Name": format!("Box {number}"),
        "Size": number, "Status": { "State": "Enabled", "From": { "@odata.id": "/" } },
        "Lid": { "@odata.id": format!("{uri}/lid") },
        "Links": { "Owner": { "@odata.id": "/owner" }, "Shelf": [{ "@odata.id": "/" }] },
    })
}

/// A root, a collection of five boxes, a lid in each, an owner of all.
fn world(uri: &str) -> Option<Resource> {
    let parts: Vec<&str> = uri.split('/').skip(1).collect();
    Some(resource(match parts.as_slice() {
        [""] => {
            json!({ "@odata.id": "/", "Boxes": { "@odata.id": "/boxes" }, "Links": { "Owner": { "@odata.id": "/owner" } } })
        }
        ["owner"] => json!({ "@odata.id": "/owner", "Name": "Owner", "Gone": { "@odata.id": "/gone" } }),
        ["boxes"] => {
            let members: Vec<Value> = (0..5).map(|number| json!({ "@odata.id": format!("/boxes/{number}") })).collect();
            json!({ "@odata.id": "/boxes", "@odata.type": "#Boxes", "Name": "Boxes", "Members@odata.count": 5, "Members": members })
        }
        ["boxes", number] => box_of(number.parse().ok()?),
        ["boxes", _, "lid"] => {
            json!({ "@odata.id": uri, "Name": "Lid", "Hinge": { "@odata.id": format!("{uri}/hinge") } })
        }
        ["boxes", _, "lid", "hinge"] => json!({ "@odata.id": uri, "Name": "Hinge" }),
        _ => return None,
    }))
}

fn get(uri: &str, query: &str) -> Result<Value, String> {
    let fault =
        |fault: ErrorResponse| format!("{} {}", fault.status, fault.messages[0].json()["MessageId"].as_str().unwrap());
    match Query::parse(query).map_err(fault)? {
        Some(query) => query.apply(world(uri).unwrap(), &world).map(|found| Value::Object(found.body)).map_err(fault),
        None => Ok(json!("plain")),
    }
}

fn ids(body: &Value) -> Vec<String> {
    let id = |member: &Value| member["@odata.id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    body["Members"].as_array().unwrap().iter().map(id).collect()
}

#[test]
fn filters_choose_members() {
    for (filter, expect) in [
        ("Id eq '3'", "3"),
        ("not (Id eq '3')", "0 1 2 4"),
        ("not Id eq '3' and Size gt 2", "4"),
        ("Id eq '0' or Id eq '4'", "0 4"),
        ("Size ge 1 and Size lt 3 or Size eq 4", "1 2 4"),
        ("Size ge 1 and (Size lt 3 or Size eq 4)", "1 2 4"),
        ("(Size le 1 or Size gt 3) and Size ne 0", "1 4"),
        ("2.0 eq Size", "2"),
        ("Size gt -1e2 and Size lt 0.5", "0"),
        ("Status/State eq 'Enabled' and Name ge 'Box 3'", "3 4"),
        ("Status/State eq 'enabled'", ""),
        ("Links/Owner/@odata.id eq '/owner' and Size eq 1", "1"),
        ("Missing eq null and Id ne null", "0 1 2 3 4"),
        ("Missing eq 'x' or Missing lt 5 or Missing ge null", ""),
        ("Missing ne 'x'", "0 1 2 3 4"),
        ("Id eq 3", ""),
        ("Name eq 'it''s'", ""),
        ("true eq true", "0 1 2 3 4"),
        ("Size eq true", ""),
    ] {
        let body = get("/boxes", &format!("$filter={}", filter.replace(' ', "%20"))).unwrap();
        assert_eq!(ids(&body).join(" "), expect, "{filter}");
        assert_eq!(body["Members@odata.count"], ids(&body).len(), "{filter}");
        assert!(body["Members"].as_array().unwrap().iter().all(|member| member.as_object().unwrap().len() == 1));
    }
}

#[test]
fn wrong_filters_are_refused_with_advice() {
    let many = vec!["A eq 1"; 65].join(" or ");
    let deep = format!("{}A eq 1{}", "(".repeat(18), ")".repeat(18));
    let nots = format!("{}A eq 1", "not ".repeat(18));
    for filter in [
        "",
        "Id",
        "Id eq",
        "Id eq '3",
        "Id is '3'",
        "eq '3'",
        "Id eq '3' Id eq '4'",
        "(Id eq '3'",
        "Id eq '3')",
        "Id eq Id eq 1",
        "Id eq [1]",
        "Id eq \"3\"",
        "Id eq a/",
        "/a eq 1",
        "contains(Id,'3')",
        "Id eq '3' and",
        "Id EQ '3'",
        "() eq 1",
        &many,
        &deep,
        &nots,
    ] {
        assert_eq!(
            get("/boxes", &format!("$filter={filter}")),
            Err("400 Base.1.22.QueryParameterValueFormatError".into()),
            "{filter}"
        );
    }
    let fault = Query::parse("$filter=Id").unwrap_err().body().to_string();
    assert!(fault.contains("eq, ne, lt, le, gt and ge"), "{fault}");
}

#[test]
fn pages_lead_to_the_next_one() {
    let body = get("/boxes", "$skip=1&$top=2").unwrap();
    assert_eq!((ids(&body).join(" ").as_str(), &body["Members@odata.count"]), ("1 2", &json!(5)));
    assert_eq!(body["Members@odata.nextLink"], "/boxes?$skip=3&$top=2");
    let body = get("/boxes", "$skip=3&$top=2").unwrap();
    assert_eq!((ids(&body).join(" ").as_str(), body.get("Members@odata.nextLink")), ("3 4", None));
    for (query, expect) in
        [("$top=0", ""), ("$top=99999999999999999999", "?"), ("$skip=5", ""), ("$skip=4", "4"), ("$top=9", "0 1 2 3 4")]
    {
        match get("/boxes", query) {
            Ok(body) => assert_eq!(
                (ids(&body).join(" ").as_str(), body.get("Members@odata.nextLink")),
                (expect, None),
                "{query}"
            ),
            Err(error) => assert_eq!((error.as_str(), expect), ("400 Base.1.22.QueryParameterOutOfRange", "?")),
        }
    }
    let body = get("/boxes", "$filter=Size%20ne%200&$top=3&$expand=.&x=1").unwrap();
    assert_eq!(ids(&body).join(" "), "1 2 3");
    assert_eq!(body["Members"][0]["Name"], "Box 1");
    assert_eq!(body["Members@odata.nextLink"], "/boxes?$skip=3&$top=3&$filter=Size%20ne%200&$expand=.");
}

#[test]
fn whole_members_come_in_pages() {
    let members: Vec<Value> = (0..250).map(box_of).collect();
    let log = || resource(json!({ "@odata.id": "/log", "Members@odata.count": 250, "Members": members }));
    let first = first_page(log());
    assert_eq!(
        (first.body["Members"].as_array().unwrap().len(), &first.body["Members@odata.count"]),
        (100, &json!(250))
    );
    assert_eq!(first.body["Members@odata.nextLink"], "/log?$skip=100");
    let last = Query::parse("$skip=200").unwrap().unwrap().apply(log(), &|_| None).unwrap();
    assert_eq!((last.body["Members"].as_array().unwrap().len(), last.body.get("Members@odata.nextLink")), (50, None));
    let found = Query::parse("$filter=Size+eq+249").unwrap().unwrap().apply(log(), &|_| None).unwrap();
    assert_eq!(ids(&Value::Object(found.body)), ["249"]);
    let links: Vec<Value> = (0..250).map(|number| json!({ "@odata.id": format!("/{number}") })).collect();
    let short = resource(json!({ "@odata.id": "/links", "Members": links }));
    assert_eq!(first_page(short.clone()), short);
}

#[test]
fn links_are_expanded_where_and_as_deep_as_asked() {
    let root = get("/", "$expand=.").unwrap();
    assert_eq!((&root["Boxes"]["Name"], root["Links"]["Owner"].get("Name")), (&json!("Boxes"), None));
    assert_eq!(root["Boxes"]["Members"][0].as_object().unwrap().len(), 1);
    let root = get("/", "$expand=~").unwrap();
    assert_eq!((root["Boxes"].get("Name"), &root["Links"]["Owner"]["Name"]), (None, &json!("Owner")));
    let root = get("/", "$expand=*($levels=1)").unwrap();
    assert_eq!((&root["Boxes"]["Name"], &root["Links"]["Owner"]["Name"]), (&json!("Boxes"), &json!("Owner")));
    assert_eq!(root["Links"]["Owner"]["Gone"], json!({ "@odata.id": "/gone" }), "what is not there stays a link");

    let member = &get("/", "$expand=.($levels=3)").unwrap()["Boxes"]["Members"][2];
    assert_eq!((&member["Lid"]["Name"], member["Lid"]["Hinge"].get("Name")), (&json!("Lid"), None));
    assert_eq!(member["Links"]["Owner"], json!({ "@odata.id": "/owner" }));
    let member = &get("/", "$expand=*($levels=4)").unwrap()["Boxes"]["Members"][2];
    assert_eq!(member["Lid"]["Hinge"]["Name"], "Hinge");
    assert_eq!(member["Links"]["Shelf"][0], json!({ "@odata.id": "/" }), "what hangs above is not repeated");
    assert_eq!(member["Status"]["From"], json!({ "@odata.id": "/" }));

    for wrong in ["", "x", "Boxes", ".()", ".($levels=)", ".($levels=-1)", ".($levels=1", ".($levels=max)", "..", "é"]
    {
        assert_eq!(
            get("/", &format!("$expand={wrong}")),
            Err("400 Base.1.22.QueryParameterValueFormatError".into()),
            "{wrong}"
        );
    }
    for wide in [".($levels=0)", ".($levels=5)", "*($levels=99999999999999999999999)"] {
        assert_eq!(
            get("/", &format!("$expand={wide}")),
            Err("400 Base.1.22.QueryParameterOutOfRange".into()),
            "{wide}"
        );
    }
}

#[test]
fn an_expansion_ends() {
    let wide = |uri: &str| {
        let links: Vec<Value> = (0..100).map(|number| json!({ "@odata.id": format!("{uri}/{number}") })).collect();
        Some(resource(json!({ "@odata.id": uri, "Parts": links })))
    };
    let looked_up = std::cell::Cell::new(0);
    let counted = |uri: &str| {
        looked_up.set(looked_up.get() + 1);
        wide(uri)
    };
    let query = Query::parse("$expand=.($levels=4)").unwrap().unwrap();
    let body = query.apply(wide("/x").unwrap(), &counted).unwrap().body;
    assert_eq!(looked_up.get(), 1000);
    assert!(body["Parts"][99].as_object().unwrap().len() > 1, "the near ones come first");
}

#[test]
fn selected_properties_are_left_with_what_a_resource_always_says() {
    let body = get("/boxes/1", "$select=Name,Status/State,Links/Owner,Nothing").unwrap();
    let expect = json!({
        "@odata.id": "/boxes/1", "@odata.type": "#Box", "Name": "Box 1", "Status": { "State": "Enabled" },
        "Links": { "Owner": { "@odata.id": "/owner" } },
    });
    assert_eq!(body, expect);
    for both in ["Status,Status/State", "Status/State,Status"] {
        assert!(get("/boxes/1", &format!("$select={both}")).unwrap()["Status"]["From"].is_object(), "{both}");
    }
    assert_eq!(get("/boxes", "$select=Name").unwrap().as_object().unwrap().len(), 3);
    let body = get("/boxes", "$select=Members").unwrap();
    assert_eq!((ids(&body).len(), &body["Members@odata.count"], body.get("Name")), (5, &json!(5), None));
    for query in ["$expand=.&$select=Name,Size&$top=2", "$expand=.&$select=Members/Name,Members/Size&$top=2"] {
        let body = get("/boxes", query).unwrap();
        let first = json!({ "@odata.id": "/boxes/0", "@odata.type": "#Box", "Name": "Box 0", "Size": 0 });
        assert_eq!((&body["Members"][0], ids(&body).len()), (&first, 2), "{query}");
        assert!(body["Members@odata.nextLink"].is_string(), "{query}");
    }
    for wrong in ["", "Name,", "/Name", "Name//State", "Na me", "'Name'", &vec!["A"; 17].join("/")] {
        assert_eq!(
            get("/", &format!("$select={wrong}")),
            Err("400 Base.1.22.QueryParameterValueFormatError".into()),
            "{wrong}"
        );
    }
}

#[test]
fn only_is_the_one_member() {
    assert_eq!(get("/boxes", "only").unwrap()["Name"], "Boxes", "five are not one");
    let one = resource(json!({ "@odata.id": "/boxes", "Members": [{ "@odata.id": "/boxes/2" }] }));
    let only = Query::parse("only=").unwrap().unwrap().apply(one, &world).unwrap();
    assert_eq!(only.body["Name"], "Box 2");
    assert_eq!(get("/boxes", "only=1"), Err("400 Base.1.22.QueryParameterValueFormatError".into()));
}

#[test]
fn what_does_not_go_together_or_is_not_known_is_refused() {
    for (uri, query, expect) in [
        ("/boxes", "", "plain"),
        ("/boxes", "x=1&&excerpt&=&%20", "plain"),
        ("/boxes", "$count=true", "501 Base.1.22.QueryParameterUnsupported"),
        ("/boxes", "$Top=1", "501 Base.1.22.QueryParameterUnsupported"),
        ("/boxes", "%24top=1&$top=1", "400 Base.1.22.QueryCombinationInvalid"),
        ("/boxes", "only&$select=Name", "400 Base.1.22.QueryCombinationInvalid"),
        ("/boxes", "$top=x", "400 Base.1.22.QueryParameterValueTypeError"),
        ("/boxes", "$skip=", "400 Base.1.22.QueryParameterValueTypeError"),
        ("/boxes", "$top=-1", "400 Base.1.22.QueryParameterOutOfRange"),
        ("/boxes", "$select=%zz", "400 Base.1.22.QueryParameterValueFormatError"),
        ("/boxes", "$select=%e", "400 Base.1.22.QueryParameterValueFormatError"),
        ("/boxes", "$select=%ff", "400 Base.1.22.QueryParameterValueFormatError"),
        ("/boxes", "%zz=1", "400 Base.1.22.QueryParameterValueFormatError"),
        ("/", "only", "400 Base.1.22.QueryNotSupportedOnResource"),
        ("/", "$top=1", "400 Base.1.22.QueryNotSupportedOnResource"),
        ("/", "$skip=1", "400 Base.1.22.QueryNotSupportedOnResource"),
        ("/", "$filter=Id+eq+1", "400 Base.1.22.QueryNotSupportedOnResource"),
    ] {
        let got = get(uri, query).map(|body| body.as_str().unwrap_or("?").to_owned()).unwrap_or_else(|error| error);
        assert_eq!(got, expect, "{uri}?{query}");
    }
}

#[test]
fn a_long_query_is_not_repeated_in_what_is_said_of_it() {
    // A control character has six bytes in JSON, and an error says a value three times.
    let long = "%00".repeat(5000);
    for query in [
        format!("${long}"),
        format!("$filter={long}"),
        format!("$top={long}"),
        format!("$top=-1{}", "0".repeat(30)),
        "%".repeat(5000),
    ] {
        let said = Query::parse(&query).unwrap_err().body().to_string();
        assert!(said.len() < 8000, "{} bytes", said.len());
    }
}

proptest! {
    #[test]
    fn no_text_does_harm(text in "[ -~é]{0,200}", name in "\\$(filter|select|expand|top|skip)") {
        let _ = get("/boxes", &format!("{name}={text}"));
        let _ = get("/boxes", &text);
    }

    #[test]
    fn a_filter_and_its_opposite_share_the_members(words in prop::collection::vec(
        prop::sample::select(vec!["Id", "Size", "eq", "lt", "'3'", "2", "and", "or", "not", "(", ")", "null"]), 0..12))
    {
        let text = words.join("+");
        if let (Ok(chosen), Ok(others)) = (get("/boxes", &format!("$filter={text}")), get("/boxes", &format!("$filter=not+({text})"))) {
            prop_assert_eq!(ids(&chosen).len() + ids(&others).len(), 5);
        }
    }
}
