//! `csihost detect`: the answer first, then why, then what was rejected.

use super::{End, Reading, output};
use crate::engine;
use crate::model::bytes::shown;
use crate::model::kubelet::{Confidence, Detection, Evidence, Kubelet};
use crate::report::style::{Colour, paint, stdout_colours};
use crate::report::table;
use anyhow::Result;
use serde::Serialize;

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    #[serde(flatten)]
    detection: &'a Detection,
}

pub(super) async fn run(args: &Reading) -> Result<End> {
    let (host, config) = args.common.open()?;
    let detection = engine::detect(&host, &config).await?;
    match args.json {
        true => output::json(&Json { schema: 1, detection: &detection })?,
        false => output::print(&text(&detection, stdout_colours())?)?,
    }
    Ok(if detection.kubelet.is_some() { End::Done } else { End::Findings })
}

/// The stable name that JSON has for a value of an enum.
fn name(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

fn text(detection: &Detection, colours: bool) -> Result<String> {
    let mut out = String::new();
    match (&detection.kubelet, &detection.conflict) {
        (Some(kubelet), _) => out.push_str(&answer(kubelet, colours)?),
        (None, Some(conflict)) => {
            out.push_str(&paint("the kubelet's root is not certain", Colour::Red, colours));
            out.push_str(&format!("\n{}\n", conflict.explanation));
        }
        (None, None) => out.push_str("no kubelet found\n"),
    }
    for warning in &detection.warnings {
        out.push_str(&paint(&format!("warning: {warning}\n"), Colour::Yellow, colours));
    }
    let process = |pid: Option<i32>| pid.map_or_else(String::new, |pid| format!("process {pid}"));
    if !detection.evidence.is_empty() {
        out.push_str("\nwhy\n");
        let row = |evidence: &Evidence| {
            let later = evidence.applies.map_or("", |_| ", from its next start on");
            vec![
                table::plain(format!("  {}", evidence.value)),
                table::plain(process(evidence.pid)),
                table::plain(format!("{}{later}", evidence.source.phrase())),
            ]
        };
        out.push_str(&table::rows(&detection.evidence.iter().map(row).collect::<Vec<_>>(), colours));
    }
    if !detection.rejected.is_empty() {
        out.push_str("\nrejected\n");
        let rows: Vec<_> = detection
            .rejected
            .iter()
            .map(|rejection| {
                Ok(vec![
                    table::plain(format!("  {}", name(&rejection.reason)?)),
                    table::plain(process(rejection.pid)),
                    table::plain(&rejection.detail),
                ])
            })
            .collect::<Result<_>>()?;
        out.push_str(&table::rows(&rows, colours));
        if detection.unlisted > 0 {
            out.push_str(&format!("  and {} more\n", detection.unlisted));
        }
    }
    for unread in &detection.unread {
        out.push_str(&format!("\ncould not be read: {}: {}\n", unread.path, unread.error));
    }
    Ok(out)
}

/// The root, how sure it is, and whose: what most people want to know.
fn answer(kubelet: &Kubelet, colours: bool) -> Result<String> {
    let mut out = paint(&kubelet.root_dir.to_string(), Colour::Bold, colours);
    let sure = match kubelet.confidence {
        Confidence::Certain => "certain: a running kubelet, confirmed by what it holds open",
        Confidence::Observed => "observed: a running kubelet, by what it was started with or watches",
        Confidence::Declared => "declared: no kubelet runs, configuration names the root",
        Confidence::Assumed => "assumed: no kubelet runs, and nothing names another root",
    };
    out.push_str(&format!("\n{sure}\n{}", name(&kubelet.distribution)?));
    for told in
        [kubelet.version.clone(), kubelet.pid.map(|pid| format!("process {pid}"))].into_iter().flatten()
    {
        out.push_str(&format!(", {told}"));
    }
    out.push('\n');
    match &kubelet.host_dir {
        Some(dir) if dir == kubelet.root_dir.as_path() => {}
        Some(dir) => out.push_str(&format!("on the host it is {dir}\n")),
        None => out.push_str("it has no name on the host\n"),
    }
    if let Some(dir) = &kubelet.volume_plugin_dir {
        out.push_str(&format!("FlexVolume drivers are in {}\n", shown(dir)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kubelet::{
        Conflict, Distribution, KubeletRoot, Rejection, RejectionReason, Source, Unread,
    };

    fn detection() -> Detection {
        let root = KubeletRoot::parse(b"/srv/kubelet").unwrap();
        let evidence =
            |source, pid, rank, applies| Evidence { source, pid, value: root.clone(), rank, applies };
        Detection {
            kubelet: Some(Kubelet {
                host_dir: Some(root.as_path().join("data")),
                root_dir: root.clone(),
                confidence: Confidence::Certain,
                distribution: Distribution::K0s,
                pid: Some(812),
                version: Some("v1.31.8+k0s".into()),
                volume_plugin_dir: Some(b"/flex\n".to_vec()),
            }),
            evidence: vec![
                evidence(Source::PodResourcesSocket, Some(812), 1, None),
                evidence(Source::ConfigFile, None, 6, Some("next-start")),
            ],
            rejected: vec![Rejection {
                pid: Some(99),
                reason: RejectionReason::NestedPidNamespace,
                detail: "kubelet runs elsewhere".into(),
            }],
            unlisted: 3,
            unread: vec![Unread { path: "/proc/7".into(), error: "no".into() }],
            ..Detection::default()
        }
    }

    #[test]
    fn the_answer_comes_first_then_why_then_what_was_rejected() {
        assert_eq!(
            text(&detection(), false).unwrap(),
            "/srv/kubelet\n\
             certain: a running kubelet, confirmed by what it holds open\n\
             k0s, v1.31.8+k0s, process 812\n\
             on the host it is /srv/kubelet/data\n\
             FlexVolume drivers are in /flex\\x0a\n\
             \nwhy\n\
             \x20 /srv/kubelet  process 812  its pod-resources socket\n\
             \x20 /srv/kubelet               configuration, from its next start on\n\
             \nrejected\n\
             \x20 nested-pid-namespace  process 99  kubelet runs elsewhere\n\
             \x20 and 3 more\n\
             \ncould not be read: /proc/7: no\n"
        );
        let conflict = Conflict { values: Vec::new(), explanation: "a says b".into() };
        let torn = Detection { conflict: Some(conflict), ..Detection::default() };
        assert_eq!(text(&torn, false).unwrap(), "the kubelet's root is not certain\na says b\n");
        assert_eq!(text(&Detection::default(), false).unwrap(), "no kubelet found\n");
    }

    #[test]
    fn json_has_the_keys_that_programs_rely_on() {
        let json = serde_json::to_value(Json { schema: 1, detection: &detection() }).unwrap();
        let evidence = |source: &str, rank| {
            serde_json::json!(
            {"source": source, "pid": 812, "value": "/srv/kubelet", "rank": rank})
        };
        assert_eq!(json["schema"], 1);
        assert_eq!(
            json["kubelet"],
            serde_json::json!({
            "root_dir": "/srv/kubelet", "host_dir": "/srv/kubelet/data", "confidence": "certain",
            "distribution": "k0s", "pid": 812, "version": "v1.31.8+k0s", "volume_plugin_dir": "/flex\\x0a"})
        );
        assert_eq!(json["evidence"][0], evidence("pod-resources-socket", 1));
        assert_eq!(json["evidence"][1]["applies"], "next-start");
        assert_eq!(json["rejected"][0]["reason"], "nested-pid-namespace");
        assert_eq!(
            (&json["conflict"], &json["unread"][0]["path"]),
            (&serde_json::Value::Null, &"/proc/7".into())
        );
        let none = serde_json::to_value(Json { schema: 1, detection: &Detection::default() }).unwrap();
        assert_eq!(
            none,
            serde_json::json!({"schema": 1, "kubelet": null, "evidence": [], "rejected": [], "conflict": null})
        );
    }
}
