//! Accounts, roles, passwords and sessions over the real service: privileges, persistence over a restart, and the
//! effect of password guesses.

use plugfish::testing::account::Role;
use plugfish::testing::http::auth::Privilege;
use plugfish::testing::redfish::SITEMAP;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, USER, klap};

const SERVICE: &str = "/redfish/v1/AccountService";
const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";
const SESSION_SERVICE: &str = "/redfish/v1/SessionService";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const LOOKER: (&str, &str) = ("looker", "looks only");
const OPERATOR: (&str, &str) = ("operator", "switches");
const GOOD: &str = "a long enough password";

impl Rig {
    fn by(&self, who: (&str, &str), method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).basic_auth(who.0, Some(who.1))
    }

    async fn read(&self, who: (&str, &str), path: &str) -> StatusCode {
        self.by(who, Method::GET, path).send().await.unwrap().status()
    }

    async fn patch(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    async fn create(&self, name: &str, role: &str) -> (StatusCode, Value) {
        let body = json!({ "UserName": name, "Password": GOOD, "RoleId": role });
        self.send(self.request(Method::POST, ACCOUNTS).json(&body)).await
    }

    async fn log_in(&self, name: &str, password: &str) -> Response {
        let body = json!({ "UserName": name, "Password": password, "Context": "a test" });
        self.client.post(format!("http://{}{SESSIONS}", self.address)).json(&body).send().await.unwrap()
    }

    fn with_token(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).header("X-Auth-Token", token)
    }
}

fn token(answer: &Response) -> String {
    answer.headers()["x-auth-token"].to_str().unwrap().to_owned()
}

fn account(name: &str) -> String {
    format!("{ACCOUNTS}/{name}")
}

fn message_id(body: &Value) -> &str {
    body["error"]["@Message.ExtendedInfo"][0]["MessageId"].as_str().unwrap_or("")
}

#[tokio::test]
async fn accounts_are_made_changed_and_deleted_and_that_outlives_a_restart() {
    let mut rig = Rig::start([]).await;
    let answer = rig.request(Method::POST, ACCOUNTS);
    let answer = answer.json(&json!({ "UserName": "new", "Password": GOOD, "RoleId": "ReadOnly", "Enabled": true }));
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["location"], account("new"));
    assert!(answer.headers().contains_key("etag"));
    let made: Value = answer.json().await.unwrap();
    assert_eq!((&made["Id"], &made["Password"], &made["Locked"]), (&json!("new"), &Value::Null, &json!(false)));
    assert_eq!(rig.read(("new", GOOD), "/redfish/v1/Systems").await, StatusCode::OK);
    let (status, again) = rig.create("new", "ReadOnly").await;
    assert_eq!((status, message_id(&again)), (StatusCode::CONFLICT, "Base.1.22.ResourceAlreadyExists"));
    let body = json!({ "UserName": "other", "Password": GOOD, "RoleId": "Operator" });
    let members = rig.request(Method::POST, "/redfish/v1/AccountService/Accounts/Members").json(&body);
    assert_eq!(rig.send(members).await.0, StatusCode::CREATED);

    let (status, changed) =
        rig.patch(&account("new"), json!({ "RoleId": "Operator", "Password": "another password" })).await;
    assert_eq!((status, &changed["RoleId"]), (StatusCode::OK, &json!("Operator")));
    assert_ne!(changed["@odata.etag"], made["@odata.etag"]);
    assert_eq!(rig.patch(&account("other"), json!({ "Enabled": false })).await.0, StatusCode::OK);
    // This one is named in nodes.yaml, which must not bring it back.
    let delete = rig.request(Method::DELETE, &account("looker"));
    assert_eq!(rig.send(delete).await.0, StatusCode::NO_CONTENT);

    rig.restart().await;
    assert_eq!(rig.read(("new", GOOD), "/redfish/v1/Systems").await, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.read(("new", "another password"), "/redfish/v1/Systems").await, StatusCode::OK);
    assert_eq!(rig.read(("other", GOOD), "/redfish/v1/Systems").await, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.read(LOOKER, "/redfish/v1/Systems").await, StatusCode::UNAUTHORIZED);
    let (_, now) = rig.get(&account("new")).await;
    assert_eq!(now, changed, "the ETag too");
    assert_eq!(rig.get(ACCOUNTS).await.1["Members@odata.count"], 4);
}

#[tokio::test]
async fn of_four_changes_with_one_etag_one_wins() {
    let rig = Rig::start([]).await;
    let path = account("operator");
    for round in 0..5 {
        let etag = rig.get(&path).await.1["@odata.etag"].as_str().unwrap().to_owned();
        let change = |n: usize| {
            let role = ["ReadOnly", "Operator"][(round + n) % 2];
            let request = rig.request(Method::PATCH, &path).header("If-Match", &etag);
            rig.send(request.json(&json!({ "RoleId": role })))
        };
        let (a, b, c, d) = tokio::join!(change(0), change(1), change(2), change(3));
        let mut statuses = [a.0.as_u16(), b.0.as_u16(), c.0.as_u16(), d.0.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412]);
        for stale in [etag.as_str(), "\"never\"", &format!("{etag}foobar")] {
            let patch = rig.request(Method::PATCH, &path).header("If-Match", stale).json(&json!({ "Odd": 1 }));
            assert_eq!(rig.send(patch).await.0, StatusCode::PRECONDITION_FAILED, "{stale}");
            let delete = rig.request(Method::DELETE, &path).header("If-Match", stale);
            assert_eq!(rig.send(delete).await.0, StatusCode::PRECONDITION_FAILED, "{stale}");
        }
    }
}

#[tokio::test]
async fn everybody_changes_their_own_password_and_nothing_else() {
    let rig = Rig::start([]).await;
    let by = |who, path: String, body| rig.send(rig.by(who, Method::PATCH, &path).json(&body));
    for body in [json!({ "RoleId": "Administrator" }), json!({ "Password": GOOD, "Enabled": true })] {
        assert_eq!(by(LOOKER, account("looker"), body).await.0, StatusCode::FORBIDDEN);
    }
    for name in ["operator", "no one"] {
        assert_eq!(by(LOOKER, account(name), json!({ "Password": GOOD })).await.0, StatusCode::FORBIDDEN);
        assert_eq!(rig.read(LOOKER, &account(name)).await, StatusCode::FORBIDDEN);
    }
    let (status, body) = by(LOOKER, account("looker"), json!({ "Password": GOOD })).await;
    assert_eq!((status, &body["Password"]), (StatusCode::OK, &Value::Null));
    assert_eq!(rig.read(LOOKER, &account("looker")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.read(("looker", GOOD), &account("looker")).await, StatusCode::OK);
    let (_, accounts) = rig.send(rig.by(("looker", GOOD), Method::GET, ACCOUNTS)).await;
    assert_eq!(accounts["Members"], json!([{ "@odata.id": account("looker") }]), "there is nothing else to be seen");
}

#[tokio::test]
async fn a_password_that_has_to_be_changed_opens_nothing_else() {
    let mut rig = Rig::start([]).await;
    rig.create("new", "Administrator").await;
    let (_, body) = rig.patch(&account("new"), json!({ "PasswordChangeRequired": true })).await;
    assert_eq!(body["PasswordChangeRequired"], true);
    rig.restart().await;
    let answer = rig.log_in("new", GOOD).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let token = token(&answer);
    let body: Value = answer.json().await.unwrap();
    let info = &body["@Message.ExtendedInfo"][0];
    assert_eq!(info["MessageId"], "Base.1.22.PasswordChangeRequired");
    assert_eq!(info["MessageArgs"], json!([account("new")]));
    let own_session = body["@odata.id"].as_str().unwrap().to_owned();
    for (method, path) in [
        (Method::GET, "/redfish/v1/Systems".to_owned()),
        (Method::GET, SESSIONS.to_owned()),
        (Method::GET, account("operator")),
        (Method::DELETE, account("new")),
        (Method::PATCH, account("operator")),
        (Method::POST, ACCOUNTS.to_owned()),
    ] {
        let (status, body) = rig.send(rig.with_token(&token, method.clone(), &path).json(&json!({}))).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
        assert_eq!(message_id(&body), "Base.1.22.PasswordChangeRequired", "{method} {path}");
    }
    let by_basic = rig.send(rig.by(("new", GOOD), Method::GET, "/redfish/v1/Systems")).await;
    assert_eq!((by_basic.0, message_id(&by_basic.1)), (StatusCode::FORBIDDEN, "Base.1.22.PasswordChangeRequired"));
    for path in [&account("new"), &own_session] {
        assert_eq!(rig.send(rig.with_token(&token, Method::GET, path)).await.0, StatusCode::OK, "{path}");
    }
    let patch = |body| rig.send(rig.with_token(&token, Method::PATCH, &account("new")).json(&body));
    assert_eq!(patch(json!({ "PasswordChangeRequired": false })).await.0, StatusCode::FORBIDDEN);
    let (status, body) = patch(json!({ "Password": "a new password" })).await;
    assert_eq!((status, &body["PasswordChangeRequired"]), (StatusCode::OK, &json!(false)));
    let systems = rig.with_token(&token, Method::GET, "/redfish/v1/Systems");
    assert_eq!(rig.send(systems).await.0, StatusCode::OK);
    let leave = rig.with_token(&token, Method::DELETE, &own_session);
    assert_eq!(rig.send(leave).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn there_is_always_somebody_who_can_manage_accounts() {
    let rig = Rig::start([]).await;
    let (status, body) = rig.send(rig.request(Method::DELETE, &account(USER))).await;
    assert_eq!((status, message_id(&body)), (StatusCode::CONFLICT, "Base.1.22.ResourceCannotBeDeleted"));
    for body in [json!({ "Enabled": false }), json!({ "RoleId": "Operator" })] {
        let (status, body) = rig.patch(&account(USER), body).await;
        assert_eq!((status, message_id(&body)), (StatusCode::CONFLICT, "Base.1.22.PropertyValueResourceConflict"));
    }
    // A disabled administrator is no help.
    rig.create("second", "Administrator").await;
    rig.patch(&account("second"), json!({ "Enabled": false })).await;
    assert_eq!(rig.send(rig.request(Method::DELETE, &account(USER))).await.0, StatusCode::CONFLICT);
    rig.patch(&account("second"), json!({ "Enabled": true })).await;
    assert_eq!(rig.send(rig.request(Method::DELETE, &account(USER))).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get(ACCOUNTS).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn wrong_passwords_lock_an_account_until_an_administrator_or_time_ends_it() {
    let mut rig = Rig::start([]).await;
    let operator = rig.log_in(OPERATOR.0, OPERATOR.1).await;
    let token = token(&operator);
    let rules =
        json!({ "AccountLockoutThreshold": 3, "AccountLockoutDuration": 2, "AccountLockoutCounterResetAfter": 2 });
    assert_eq!(rig.patch(SERVICE, rules).await.0, StatusCode::OK);
    rig.restart().await;
    assert_eq!(rig.get(SERVICE).await.1["AccountLockoutThreshold"], 3);
    let before = rig.get(&account("operator")).await.1;
    for _ in 0..3 {
        assert_eq!(rig.log_in("operator", "wrong").await.status(), StatusCode::UNAUTHORIZED);
    }
    let locked = rig.get(&account("operator")).await.1;
    assert_eq!(locked["Locked"], true);
    assert_ne!(locked["@odata.etag"], before["@odata.etag"], "it looks different");
    assert_eq!(rig.log_in(OPERATOR.0, OPERATOR.1).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(rig.read(OPERATOR, "/redfish/v1/Systems").await, StatusCode::UNAUTHORIZED);
    let session = rig.with_token(&token, Method::GET, "/redfish/v1/Systems");
    assert_eq!(rig.send(session).await.0, StatusCode::OK, "who is in stays in");
    assert_eq!(rig.log_in(LOOKER.0, LOOKER.1).await.status(), StatusCode::CREATED, "others are not concerned");
    let (status, body) = rig.patch(&account("operator"), json!({ "Locked": true })).await;
    assert_eq!((status, message_id(&body)), (StatusCode::BAD_REQUEST, "Base.1.22.PropertyValueNotInList"));
    let (status, body) = rig.patch(&account("operator"), json!({ "Locked": false })).await;
    assert_eq!((status, &body["Locked"]), (StatusCode::OK, &json!(false)));
    assert_eq!(rig.log_in(OPERATOR.0, OPERATOR.1).await.status(), StatusCode::CREATED);
    for _ in 0..3 {
        rig.log_in("operator", "wrong").await;
    }
    assert_eq!(rig.get(&account("operator")).await.1["Locked"], true);
    rig.until(5, || async { rig.get(&account("operator")).await.1["Locked"] == false }).await;
    assert_eq!(rig.log_in(OPERATOR.0, OPERATOR.1).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn guesses_are_slowed_and_a_client_behind_the_same_address_is_not() {
    let rig = Rig::start([]).await;
    let session = token(&rig.log_in(OPERATOR.0, OPERATOR.1).await);
    assert_eq!(rig.get("/redfish/v1/Systems").await.0, StatusCode::OK);
    let mut slowed = 0;
    for n in 0..60 {
        let answer = rig.log_in("no one", &format!("guess {n}")).await;
        match answer.status() {
            StatusCode::UNAUTHORIZED => assert_eq!(slowed, 0, "once slowed, always within the second"),
            StatusCode::SERVICE_UNAVAILABLE => {
                assert_eq!(answer.headers()["retry-after"], "1");
                slowed += 1;
            }
            other => panic!("{other}"),
        }
        if slowed == 5 {
            break;
        }
    }
    assert_eq!(slowed, 5);
    let start = rig.now();
    for _ in 0..20 {
        assert_eq!(rig.get("/redfish/v1/Systems").await.0, StatusCode::OK, "Basic");
        let systems = rig.with_token(&session, Method::GET, "/redfish/v1/Systems");
        assert_eq!(rig.send(systems).await.0, StatusCode::OK, "a session");
    }
    assert_eq!(rig.log_in(USER, PASSWORD).await.status(), StatusCode::CREATED, "a new session of who is in");
    assert!(rig.now().since(start) < std::time::Duration::from_secs(2));
}

#[tokio::test]
async fn sessions_belong_to_somebody_and_end_when_they_are_not_used() {
    let mut rig = Rig::start([]).await;
    let answer = rig.log_in(LOOKER.0, LOOKER.1).await;
    let (token, location) = (token(&answer), answer.headers()["location"].to_str().unwrap().to_owned());
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["Context"], &body["ClientOriginIPAddress"]), (&json!("a test"), &json!("127.0.0.1")));
    rig.restart().await;
    assert_eq!(rig.send(rig.with_token(&token, Method::GET, &location)).await, (StatusCode::OK, body), "it is kept");
    let others = rig.log_in(OPERATOR.0, OPERATOR.1).await.headers()["location"].to_str().unwrap().to_owned();
    for method in [Method::GET, Method::DELETE] {
        let meddle = rig.with_token(&token, method, &others);
        assert_eq!(rig.send(meddle).await.0, StatusCode::FORBIDDEN);
    }
    let (_, seen) = rig.send(rig.with_token(&token, Method::GET, SESSIONS)).await;
    assert_eq!(seen["Members"], json!([{ "@odata.id": location }]));
    assert_eq!(rig.get(SESSIONS).await.1["Members@odata.count"], 2);
    assert_eq!(rig.send(rig.request(Method::DELETE, &others)).await.0, StatusCode::NO_CONTENT);

    for (timeout, status) in [(29, 400), (86_401, 400), (30, 200), (86_400, 200)] {
        let (got, body) = rig.patch(SESSION_SERVICE, json!({ "SessionTimeout": timeout })).await;
        assert_eq!(got.as_u16(), status, "{timeout}");
        if status == 400 {
            assert_eq!(message_id(&body), "Base.1.22.PropertyValueOutOfRange");
        }
    }
    let odd =
        rig.request(Method::PATCH, SESSION_SERVICE).header("If-Match", "\"1\"").json(&json!({ "SessionTimeout": 60 }));
    assert_eq!(rig.send(odd).await.0, StatusCode::PRECONDITION_FAILED);
    rig.restart().await;
    assert_eq!(rig.get(SESSION_SERVICE).await.1["SessionTimeout"], 86_400);
    assert_eq!(rig.send(rig.request(Method::DELETE, &account("looker"))).await.0, StatusCode::NO_CONTENT);
    let gone = rig.with_token(&token, Method::GET, "/redfish/v1/Systems");
    assert_eq!(rig.send(gone).await.0, StatusCode::UNAUTHORIZED, "with its account");
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let rig = Rig::start([]).await;
    let before = (rig.get(ACCOUNTS).await, rig.get(&account("operator")).await, rig.get(SERVICE).await);
    let new = |change: Value| {
        let mut body = json!({ "UserName": "new", "Password": "s3cret pass", "RoleId": "ReadOnly" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    let (long, own) = ("s3cret".repeat(30), account("operator"));
    for (method, path, body, id) in [
        (Method::POST, ACCOUNTS, json!({ "UserName": "new" }), "CreateFailedMissingReqProperties"),
        (Method::POST, ACCOUNTS, json!({}), "CreateFailedMissingReqProperties"),
        (Method::POST, ACCOUNTS, new(json!({ "Password": "s3cret" })), "PropertyValueFormatError"),
        (Method::POST, ACCOUNTS, new(json!({ "Password": long })), "PropertyValueFormatError"),
        (Method::POST, ACCOUNTS, new(json!({ "Password": ["s3cret"] })), "PropertyValueTypeError"),
        (Method::POST, ACCOUNTS, new(json!({ "UserName": "a/b" })), "PropertyValueFormatError"),
        (Method::POST, ACCOUNTS, new(json!({ "UserName": "" })), "PropertyValueFormatError"),
        (Method::POST, ACCOUNTS, new(json!({ "UserName": "Members" })), "PropertyValueFormatError"),
        (Method::POST, ACCOUNTS, new(json!({ "RoleId": "King" })), "PropertyValueNotInList"),
        (Method::POST, ACCOUNTS, new(json!({ "Odd": 1 })), "PropertyUnknown"),
        (Method::PATCH, own.as_str(), json!({}), "NoOperation"),
        (Method::PATCH, own.as_str(), json!({ "@odata.id": own }), "NoOperation"),
        (Method::PATCH, own.as_str(), json!({ "UserName": "x" }), "PropertyNotWritable"),
        (Method::PATCH, own.as_str(), json!({ "Odd": 1, "Enabled": false }), "PropertyUnknown"),
        (Method::PATCH, own.as_str(), json!({ "Enabled": "no" }), "PropertyValueTypeError"),
        (Method::PATCH, own.as_str(), json!({ "Password": null }), "PropertyValueTypeError"),
        (Method::PATCH, SERVICE, json!({ "AccountLockoutThreshold": -1 }), "PropertyValueOutOfRange"),
        (Method::PATCH, SERVICE, json!({ "AccountLockoutDuration": 59 }), "PropertyValueConflict"),
        (Method::PATCH, SERVICE, json!({ "MinPasswordLength": 1 }), "PropertyNotWritable"),
        (Method::POST, SESSIONS, json!({ "UserName": USER }), "CreateFailedMissingReqProperties"),
        (Method::POST, SESSIONS, json!({ "UserName": USER, "Password": PASSWORD, "Odd": 1 }), "PropertyUnknown"),
    ] {
        let (status, answer) = rig.send(rig.request(method.clone(), path).json(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path} {body}");
        assert_eq!(message_id(&answer), format!("Base.1.22.{id}"), "{method} {path} {body}");
        assert!(!answer.to_string().contains("s3cret"), "{answer}");
    }
    assert_eq!((rig.get(ACCOUNTS).await, rig.get(&account("operator")).await, rig.get(SERVICE).await), before);
}

/// Every URL of the service as every role: 403 where the table says so, and nowhere else.
#[tokio::test]
async fn roles_may_do_what_the_sitemap_says() {
    let rig = Rig::settled([klap("n")]).await;
    let callers = [((USER, PASSWORD), Role::Administrator), (OPERATOR, Role::Operator), (LOOKER, Role::ReadOnly)];
    let mut tried = 0;
    for route in SITEMAP {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let Some(needs) = route.privilege(method) else { continue };
            let verb = Method::from_bytes(method.as_bytes()).unwrap();
            let id = |own: &str| match route.path {
                // No one's, so that nothing is deleted.
                _ if method == "DELETE" => "absent".to_owned(),
                path if path.contains("/Accounts/") => own.to_owned(),
                path if path.contains("/Roles/") => "Operator".to_owned(),
                _ => "n".to_owned(),
            };
            let url = |own: &str| route.path.replacen("{}", &id(own), 1).replace("{}", "0");
            for (who, role) in callers {
                let path = url(who.0);
                let status = rig.by(who, verb.clone(), &path).json(&json!({})).send().await.unwrap().status();
                let may = needs == Privilege::None || Privilege::of(role).contains(&needs);
                assert_eq!(status != StatusCode::FORBIDDEN, may, "{role} {method} {path}: {status}");
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{role} {method} {path}");
                tried += 1;
            }
            let path = url("admin");
            let request = rig.client.request(verb, format!("http://{}{path}", rig.address)).json(&json!({}));
            let stranger = request.send().await.unwrap().status();
            assert_eq!(stranger == StatusCode::UNAUTHORIZED, needs != Privilege::None, "{method} {path}: {stranger}");
        }
    }
    assert!(tried > 60, "{tried}");
}
