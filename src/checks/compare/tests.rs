//! Pure: tests of comparing nodes.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A node that gets along with any other.
fn node(name: &str) -> Value {
    json!({
        "schema": 1, "ready": true, "profile": "debian",
        "checks": [
            {"id": "os-profile", "status": "pass", "summary": "x"},
            {"id": "bridge", "status": "pass", "summary": "x"},
            {"id": "path-contract", "status": "pass", "summary": "x"}
        ],
        "contracts": [{"pod": null, "driver": "driver.longhorn.io", "holds": true, "later": 1}],
        "node": {
            "hostname": name, "kernel": "6.1.0", "os": "Debian", "machine": format!("m-{name}"),
            "initiator_name": format!("iqn.1993-08.org.debian:01:{name}"), "csihost": "0.1.0",
            "kubelet": {"root_dir": "/var/lib/kubelet", "host_dir": "/var/lib/kubelet", "distribution": "k3s",
                        "version": "v1.31.2", "volume_plugin_dir": "/flex"}
        }
    })
}

fn report(file: &str, value: &Value) -> Report {
    Report::parse(file, value.to_string().as_bytes()).unwrap()
}

/// Two nodes, the second of them changed.
fn with(change: impl Fn(&mut Value)) -> Comparison {
    let mut second = node("b");
    change(&mut second);
    compare(&[report("a.json", &node("a")), report("b.json", &second)])
}

fn ids(comparison: &Comparison) -> Vec<(&str, Level)> {
    comparison.findings.iter().map(|finding| (finding.id.as_str(), finding.status)).collect()
}

#[test]
fn nodes_that_differ_where_they_should_give_nothing() {
    let comparison = with(|_| ());
    assert_eq!(comparison.findings, []);
    assert!(comparison.ready);
    assert_eq!(comparison.nodes, ["a", "b"]);
}

#[test]
fn each_difference_is_found_and_weighed() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str, Level); 15] = [
        (
            |n| n["node"]["initiator_name"] = "iqn.1993-08.org.debian:01:a".into(),
            "initiator-name",
            Level::Fail,
        ),
        (|n| n["node"]["machine"] = "m-a".into(), "machine-id", Level::Fail),
        (|n| n["node"]["hostname"] = "a".into(), "hostname", Level::Fail),
        (|n| n["node"]["kubelet"]["root_dir"] = "/srv/k".into(), "kubelet-root", Level::Fail),
        (|n| n["node"]["kubelet"]["volume_plugin_dir"] = "/f".into(), "flexvolume-dir", Level::Warn),
        (|n| n["contracts"][0]["holds"] = false.into(), "path-contract", Level::Fail),
        (
            |n| {
                n["contracts"][0]["holds"] = false.into();
                n["checks"][2]["status"] = "fail".into();
            },
            "path-contract",
            Level::Fail,
        ),
        (|n| n["checks"][1]["status"] = "fail".into(), "bridge", Level::Fail),
        (|n| n["node"]["kubelet"]["version"] = "v1.30.1".into(), "kubernetes-version", Level::Info),
        (|n| n["node"]["kubelet"]["distribution"] = "rke2".into(), "distribution", Level::Info),
        (|n| n["node"]["kernel"] = "6.8".into(), "kernel-version", Level::Info),
        (|n| n["node"]["os"] = "Ubuntu".into(), "os", Level::Info),
        (|n| n["profile"] = "ubuntu".into(), "os-profile", Level::Info),
        (|n| n["node"]["csihost"] = "0.2.0".into(), "csihost", Level::Info),
        (
            |n| {
                n["node"]["kubelet"]["volume_plugin_dir"] = "/f".into();
                n["checks"][1]["id"] = "flexvolume-dir".into();
            },
            "flexvolume-dir",
            Level::Fail,
        ),
    ];
    for (change, id, level) in cases {
        let comparison = with(change);
        assert_eq!(ids(&comparison), [(id, level)], "{comparison:?}");
        assert_eq!(comparison.ready, level != Level::Fail);
    }
}

#[test]
fn what_a_node_does_not_say_differs_from_nothing() {
    let changes: [fn(&mut Value); 4] = [
        |n| n["node"]["kubelet"] = Value::Null,
        |n| n["node"]["initiator_name"] = Value::Null,
        |n| n["contracts"] = json!([]),
        |n| n["checks"][1]["status"] = "skip".into(),
    ];
    for change in changes {
        assert_eq!(with(change).findings, []);
    }
    // Two that say nothing share nothing.
    let mut silent = node("x");
    silent["node"] = json!({});
    let both = compare(&[report("a", &silent), report("b", &silent)]);
    assert_eq!((both.findings, both.nodes), (vec![], vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn nodes_of_one_name_are_told_apart_by_their_files() {
    let comparison = with(|n| n["node"]["hostname"] = "a".into());
    assert_eq!(comparison.nodes, ["a.json", "b.json"]);
    assert_eq!(comparison.findings[0].summary, "2 nodes share the name a");
    assert_eq!(comparison.findings[0].groups[0].nodes, ["a.json", "b.json"]);
}

#[test]
fn a_check_that_fails_everywhere_is_no_difference() {
    let mut failing = node("a");
    failing["checks"][1]["status"] = "fail".into();
    let mut other = node("b");
    other["checks"][1]["status"] = "fail".into();
    assert_eq!(compare(&[report("a", &failing), report("b", &other)]).findings, []);
}

#[test]
fn what_is_no_report_is_refused_with_its_place() {
    let mut later = node("a");
    later["schema"] = 2.into();
    let mut older = node("a");
    older.as_object_mut().unwrap().remove("node");
    let mut odd = node("a");
    odd["checks"][0]["status"] = "fine".into();
    let deep = format!("{{\"checks\":{}", "[".repeat(100_000));
    for (text, expected) in [
        ("", "f:1:0: not JSON: EOF"),
        ("{\n \"schema\": 1,\n oops", "f:3:2: not JSON: key must be a string"),
        (&node("a").to_string()[..200], "not JSON: EOF"),
        ("[]", "f:1:2: no report of a node"),
        ("\"text\"", "f:1:6: no report of a node"),
        ("{}", "f: no report of a node"),
        ("{\"schema\":1,\"kubelet\":null}", "f: no report of a node: it has no \"schema\" and \"checks\""),
        (&later.to_string(), "f: it has schema 2, and this csihost reads 1"),
        (&older.to_string(), "f: it does not say of which node it is"),
        (&odd.to_string(), "not what csihost check --json writes: unknown variant `fine`"),
        (&deep, "not JSON: EOF"),
        ("\u{1b}[31m", "not JSON: expected value"),
    ] {
        let error = Report::parse("f", text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:.80}: {error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    assert!(Report::parse("f", b"\xff\xfe").is_err());
    let mut colours = node("a");
    colours["node"]["hostname"] = "\u{1b}[31mred".into();
    assert_eq!(compare(&[report("f", &colours)]).nodes, ["\\x1b[31mred"]);
}

/// A node that differs from others, or does not, in everything that is compared.
fn any_node() -> impl Strategy<Value = Value> {
    let few = || proptest::option::of(0..3_u8);
    (few(), few(), few(), few(), few(), 0..3_u8, 0..4_u8).prop_map(
        |(hostname, machine, initiator, root, flex, contract, check)| {
            let mut value = node("x");
            let text = |n: Option<u8>| n.map_or(Value::Null, |n| format!("v{n}").into());
            value["node"]["hostname"] = text(hostname);
            value["node"]["machine"] = text(machine);
            value["node"]["initiator_name"] = text(initiator);
            match root {
                None => value["node"]["kubelet"] = Value::Null,
                Some(root) => {
                    value["node"]["kubelet"]["root_dir"] = format!("/r{root}").into();
                    value["node"]["kubelet"]["volume_plugin_dir"] = text(flex);
                }
            }
            value["contracts"][0]["holds"] = (contract == 0).into();
            value["checks"][1]["status"] = ["pass", "warn", "fail", "skip"][usize::from(check)].into();
            value
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_files_does_not_matter(
        nodes in proptest::collection::vec(any_node(), 2..7).prop_flat_map(|nodes| {
            let numbered: Vec<(usize, Value)> = nodes.into_iter().enumerate().collect();
            (Just(numbered.clone()), Just(numbered).prop_shuffle())
        })
    ) {
        let compared = |nodes: &[(usize, Value)]| {
            let reports: Vec<Report> = nodes.iter().map(|(n, value)| report(&format!("{n}.json"), value)).collect();
            compare(&reports)
        };
        let (first, second) = (compared(&nodes.0), compared(&nodes.1));
        prop_assert_eq!(first.ready, first.findings.iter().all(|finding| finding.status != Level::Fail));
        prop_assert!(first.findings.is_sorted_by_key(|finding| finding.status));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes: Vec<u8>, json in "[{}\\[\\]\":,a-z0-9]{0,60}") {
        let _ = (Report::parse("f", &bytes), Report::parse("f", json.as_bytes()));
    }
}
