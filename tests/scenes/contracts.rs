//! Scenes with CSI plugins: `contracts/NAME.scene`, and what `csihost check --root` must say of each:
//! all contracts, how the checks end that are about them, and of others those that the answer names in `checks`.

use super::{differences, format, named};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn faults(scene: &Path) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("host");
    format::unpack(&std::fs::read_to_string(scene).unwrap(), &root);
    let output = Command::new(env!("CARGO_BIN_EXE_csihost"))
        .args(["check", "--json", "--root"])
        .arg(&root)
        .output()
        .unwrap();
    let Ok(mut said) = serde_json::from_slice::<Value>(&output.stdout) else {
        return vec![String::from_utf8_lossy(&output.stderr).into_owned()];
    };
    let status = |id: &str| {
        let checks = said["checks"].as_array().unwrap();
        let found: Vec<&Value> = checks.iter().filter(|check| check["id"] == id).collect();
        assert!(found.len() <= 1, "{id} is said twice: {checks:#?}");
        found.first().map_or(Value::Null, |check| check["status"].clone())
    };
    let expected = std::fs::read_to_string(scene.with_extension("json")).unwrap();
    let expected: Value =
        serde_json::from_str(&expected).unwrap_or_else(|error| panic!("{}: {error}", scene.display()));
    let others = expected["checks"].as_object().map(|checks| {
        let named = checks.keys().map(|id| (id.clone(), status(id)));
        Value::Object(named.collect())
    });
    let mut now = json!({
        "path-contract": status("path-contract"),
        "mount-propagation": status("mount-propagation"),
        "driver-not-registered": status("driver-not-registered"),
        "driver-before-bridge": status("driver-before-bridge"),
        "contracts": said["contracts"].take(),
    });
    if let Some(others) = others {
        now["checks"] = others;
    }
    let mut faults = Vec::new();
    differences("", &now, &expected, &mut faults);
    faults
}

#[test]
fn each_scene_has_the_contracts_that_are_written_beside_it() {
    let scenes = named("tests/scenes/contracts");
    assert!(scenes.len() >= 14, "only {} scenes", scenes.len());
    let mut wrong = Vec::new();
    for scene in &scenes {
        let faults = faults(scene);
        if !faults.is_empty() {
            wrong.push(format!("{}\n    {}", scene.display(), faults.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {} scenes:\n{}", wrong.len(), scenes.len(), wrong.join("\n"));
}
