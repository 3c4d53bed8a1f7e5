//! k3s and RKE2: what their configuration declares.

use super::*;

pub(super) const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
const STANDARD: &str = "k3s /var/lib/kubelet assumed default";

/// A k3s server with this configuration file.
pub(super) fn server(config: &str) -> Tree {
    Tree::default().runs("k3s.service", "/usr/local/bin/k3s server").with(CONFIG, config)
}

/// A k3s with these arguments and no file.
pub(super) fn k3s(args: &str) -> Tree {
    Tree::default().runs("k3s.service", &format!("/usr/local/bin/k3s {args}"))
}

#[test]
fn a_k3s_has_the_standard_root_whatever_its_data_directory() {
    k3s("server").declares(STANDARD);
    k3s("agent --data-dir /srv/k3s -d=/srv/x").declares(STANDARD);
    server("data-dir: /srv/k3s\n").declares(STANDARD);
    server("data-dir: relative\n").declares(STANDARD);
    // Configuration that is there before the program is.
    Tree::default().with(CONFIG, "token: x\n").declares(STANDARD);
}

#[test]
fn each_form_of_kubelet_arg_moves_the_root() {
    for config in [
        "kubelet-arg: root-dir=/srv/k\n",
        "kubelet-arg: --root-dir=/srv/k\n",
        "kubelet-arg: root_dir=/srv/k\n",
        "kubelet-arg: root-dir+=/srv/k\n",
        "kubelet-arg: root-dir-=/srv/k\n",
        "kubelet-arg:\n- v=2\n- \"root-dir=/srv/k\"\n",
        "kubelet-arg: [root-dir=/a, root-dir=/srv/k]\n",
        // A minus puts it before the others, and the last one wins.
        "kubelet-arg: [root-dir=/srv/k, root-dir-=/a]\n",
        // Names are sorted: the underscore comes last.
        "kubelet-arg: [root_dir=/srv/k, root-dir=/a]\n",
        "kubelet-arg: root-dir=/a\nkubelet-arg: root-dir=/srv/k\n",
        "kubelet-arg: root-dir=/a\nkubelet-arg+: root-dir=/srv/k\n",
        "kubelet-arg+: root-dir=/srv/k\n",
        "x: &a [root-dir=/srv/k]\nkubelet-arg: *a\n",
        "kubelet-arg: |-\n  root-dir=/srv/k\n",
        "kubelet-arg: root-dir=/srv//x/../k/\n",
    ] {
        assert_eq!(
            server(config).says(),
            (vec!["k3s /srv/k declared config-file".to_owned()], vec![]),
            "{config}"
        );
    }
    for config in [
        "kubelet-arg: root-directory=/a\n",
        "kubelet-arg: cert-root-dir=/a\n",
        "kube-proxy-arg: root-dir=/a\n",
        "kubelet-arg:\n",
        "kubelet-arg: []\n",
        "",
        "# nothing\n",
        "kubelet-arg: root-dir=/a\nkubelet-arg: v=2\n",
    ] {
        assert_eq!(server(config).says(), (vec![STANDARD.to_owned()], vec![]), "{config}");
    }
}

#[test]
fn a_value_that_was_to_be_the_root_is_told_with_file_and_line() {
    for (config, line) in [
        ("# c\nkubelet-arg: root-dir /srv/k\n", "line 2"),
        ("kubelet-arg:\n- --root-dir\n- /srv/k\n", "line 2"),
        ("kubelet-arg:\n- v=2\n- root-dir: /srv/k\n", "line 3"),
        ("kubelet-arg:\n- -root-dir=/srv/k\n", "line 2"),
        ("kubelet-arg:\n- ' root-dir=/srv/k'\n", "line 2"),
        ("kubelet-arg:\n- root-dir\n", "line 2"),
        ("kubelet-arg:\n- root-dir=srv/k\n", "line 2"),
        ("kubelet-arg: root-dir=\n", "line 1"),
    ] {
        server(config).cannot_know(&[CONFIG, line, "expected"]);
    }
    k3s("server --kubelet-arg 'root-dir /x'").cannot_know(&["/etc/systemd/system/k3s.service"]);
}

#[test]
fn the_command_line_comes_after_the_file() {
    let both = |args: &str, config: &str| k3s(args).with(CONFIG, config);
    let arg = "--kubelet-arg=root-dir=/cli";
    both(&format!("server {arg}"), "kubelet-arg: root-dir=/file\n")
        .declares("k3s /cli declared systemd-unit");
    both("server --kubelet-arg v=2", "kubelet-arg: root-dir=/file\n")
        .declares("k3s /file declared config-file");
    for form in ["--kubelet-arg root-dir=/cli", "-kubelet-arg=root-dir=/cli", "--kubelet-arg --root-dir=/cli"]
    {
        k3s(&format!("agent {form} --x")).declares("k3s /cli declared systemd-unit");
    }
    k3s("server '--kubelet-arg=root-dir=/a b'").declares("k3s /a b declared systemd-unit");
}

#[test]
fn files_beside_the_main_one_are_read_by_name() {
    let beside = |name: &str| format!("{CONFIG}.d/{name}");
    let tree = || server("kubelet-arg: root-dir=/main\n");
    tree()
        .with(&beside("10.yaml"), "kubelet-arg: root-dir=/ten\n")
        .with(&beside("20.YML"), "kubelet-arg: root-dir=/twenty\n")
        .with(&beside("30.json"), "kubelet-arg: root-dir=/thirty\n")
        .with(&beside("sub.yaml/x.yaml"), "kubelet-arg: root-dir=/sub\n")
        .declares("k3s /twenty declared config-file");
    // Replaced, not added to.
    tree().with(&beside("10.yaml"), "kubelet-arg: v=2\n").declares(STANDARD);
    tree().with(&beside("10.yaml"), "kubelet-arg+: v=2\n").declares("k3s /main declared config-file");
    tree()
        .with(&beside("10.yaml"), "kubelet-arg+: [root-dir=/ten]\n")
        .declares("k3s /ten declared config-file");
    k3s("server")
        .with(&beside("a.yml"), "kubelet-arg: root-dir=/d\n")
        .declares("k3s /d declared config-file");
    Tree::default()
        .with(&beside("a.yml"), "kubelet-arg: root-dir=/d\n")
        .declares("k3s /d declared config-file");
}

#[test]
fn another_configuration_file_is_read_where_one_is_named() {
    let named = |tree: Tree| {
        tree.with(CONFIG, "kubelet-arg: root-dir=/usual\n")
            .with("/srv/c.yaml", "kubelet-arg: root-dir=/named\n")
    };
    let wanted = "k3s /named declared config-file";
    for args in ["server --config /srv/c.yaml", "server -c /srv/c.yaml", "server --config=/srv/c.yaml -c /x"]
    {
        named(k3s(args)).declares(wanted);
    }
    let unit = "Environment=K3S_CONFIG_FILE=/srv/c.yaml\nExecStart=/usr/local/bin/k3s server -c /x";
    named(Tree::default().unit("k3s.service", unit)).declares(wanted);
    named(k3s("server --config=/srv/none.yaml")).declares(STANDARD);
    named(k3s("server --config=https://user@host/c.yaml?token=x"))
        .cannot_know(&["https://user@host/c.yaml: ", "URL"]);
    named(k3s("server --config=c.yaml")).cannot_know(&["absolute"]);
    // The command line wins over whatever is at the URL.
    let tree = k3s("server --config=http://h/c --kubelet-arg=root-dir=/cli");
    assert_eq!(tree.says().0, ["k3s /cli declared systemd-unit"]);
}

#[test]
fn environment_files_of_the_unit_count() {
    let unit = "EnvironmentFile=-/etc/default/%N\nEnvironmentFile=-/etc/sysconfig/%N\n\
        EnvironmentFile=-/etc/systemd/system/%n.env\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\n";
    let named = "kubelet-arg: root-dir=/named\n";
    for file in ["/etc/default/k3s", "/etc/sysconfig/k3s", "/etc/systemd/system/k3s.service.env"] {
        Tree::default()
            .unit("k3s.service", unit)
            .with(file, "K3S_CONFIG_FILE='/srv/c.yaml'\n")
            .with("/srv/c.yaml", named)
            .declares("k3s /named declared config-file");
    }
    let renamed = Tree::default()
        .unit("k3s-edge.service", unit)
        .with("/etc/default/k3s-edge", "K3S_CONFIG_FILE=/srv/c.yaml\n");
    let found = renamed.with("/srv/c.yaml", named).declared().declarations;
    assert_eq!(found[0].root.to_string(), "/named");
    assert_eq!(found[0].unit, Some(UnitName::from("k3s-edge.service")));
}

#[test]
fn a_server_without_an_agent_has_no_kubelet() {
    for config in ["disable-agent: true\n", "disable-agent: yes\n", "disable-agent: \"1\"\n"] {
        server(config).declares_nothing();
    }
    for config in ["disable-agent: false\n", "disable-agent: off\n", "disable-agent:\n"] {
        server(config).declares(STANDARD);
    }
    k3s("server --disable-agent --kubelet-arg=root-dir=/x").declares_nothing();
    k3s("server --disable-agent=false").declares(STANDARD);
    k3s("agent --disable-agent").declares(STANDARD);
}

#[test]
fn the_first_versions_and_rootless_ones_keep_the_root_with_their_data() {
    let state = |tree: Tree, directory: &str| tree.with(&format!("{directory}/cpu_manager_state"), "{}");
    let old = state(k3s("server"), "/var/lib/rancher/k3s/agent/kubelet");
    old.declares("k3s /var/lib/rancher/k3s/agent/kubelet assumed default");
    state(k3s("server -d /srv/k3s"), "/srv/k3s/agent/kubelet")
        .declares("k3s /srv/k3s/agent/kubelet declared systemd-unit");
    // Upgraded since: the old tree is left.
    state(old, "/var/lib/kubelet").declares(STANDARD);
    state(k3s("server"), "/var/lib/rancher/k3s/agent/kubelet")
        .with("/var/lib/rancher/k3s/data/current", "-> /x")
        .declares(STANDARD);
    k3s("server --rootless --data-dir /home/u/k3s")
        .declares("k3s /home/u/k3s/agent/kubelet declared systemd-unit");
    server("rootless: true\n").cannot_know(&["home"]);
}

#[test]
fn configuration_that_cannot_be_understood_is_not_guessed() {
    server("kubelet-arg: [root-dir=/x\n").cannot_know(&[CONFIG, "line", "expected YAML"]);
    server("- a\n").cannot_know(&["line 1", "keys and values"]);
    server(&"#".repeat((1 << 20) + 1)).cannot_know(&["1048576"]);
    let broken = format!("{CONFIG}.d/9.yaml");
    server("kubelet-arg: root-dir=/x\n").with(&broken, "a:\n\t- b\n").cannot_know(&[&broken, "line 2"]);
    // What else is there still counts.
    let (declared, unread) = server("[").unit("kubelet.service", "ExecStart=/usr/bin/kubelet").says();
    assert_eq!((declared, unread.len()), (vec!["kubelet /var/lib/kubelet assumed default".to_owned()], 1));
}

#[test]
fn rke2_has_its_own_names() {
    let rke2 =
        |args: &str| Tree::default().runs("rke2-server.service", &format!("/usr/local/bin/rke2 {args}"));
    rke2("server").declares("rke2 /var/lib/kubelet assumed default");
    rke2("server")
        .with("/etc/rancher/rke2/config.yaml", "kubelet-arg: root-dir=/x\n")
        .with(CONFIG, "disable-agent: true\n")
        .declares("rke2 /x declared config-file");
    let tree = rke2("server").runs("rke2-agent.service", "/usr/local/bin/rke2 agent");
    assert_eq!(tree.says().0.len(), 2);
    // Both come with the package, and one is started at boot.
    let found = tree.at_boot("rke2-agent.service").declared().declarations;
    assert_eq!(
        found.iter().map(|d| d.unit.clone().unwrap().to_string()).collect::<Vec<_>>(),
        ["rke2-agent.service"]
    );
}

#[test]
fn a_script_of_openrc_starts_k3s_too() {
    let script = |args: &str| {
        format!(
            "#!/sbin/openrc-run\ndepend() {{\n    after network-online\n}}\nname=k3s\ncommand=\"/usr/local/bin/k3s\"\n\
             command_args=\"{args}    >>/var/log/k3s.log 2>&1\"\npidfile=\"/var/run/k3s.pid\"\n"
        )
    };
    let tree = |args: &str| Tree::default().with("/etc/init.d/k3s", &script(args));
    tree("server \n").declares(STANDARD);
    tree("server '--kubelet-arg=root-dir=/a b' \n").declares("k3s /a b declared config-file");
    tree("server \n")
        .with("/etc/rancher/k3s/k3s.env", "K3S_CONFIG_FILE='/srv/c.yaml'\n")
        .with("/srv/c.yaml", "kubelet-arg: root-dir=/named\n")
        .declares("k3s /named declared config-file");
    tree("server --kubelet-arg 'root-dir /x'").cannot_know(&["/etc/init.d/k3s", "root-dir=PATH"]);
    Tree::default().with("/etc/init.d/k3s-other", "echo k3s\n").declares_nothing();
}
