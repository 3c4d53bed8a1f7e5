//! A bridge unit that would close a cycle of orders at the next boot.
//!
//! A bridge unit is ordered after the mounts that its paths lie on, and before the kubelet and the container runtime. Where such a
//! mount is itself ordered after one of these, systemd has no order for the boot and drops a job of its choice
//! (systemd.unit(5), "Before=, After="; `transaction_verify_order` in systemd's src/core/transaction.c).

use super::super::fstab::{self, FSTAB};
use super::super::resolve::top_at;
use super::super::unit_name::mount_unit;
use super::super::unit_text::BOOT_UNIT;
use crate::model::bytes::shown;
use crate::model::facts::{Facts, Init};
use crate::model::path::HostPath;
use crate::model::plan::Refusal;
use crate::model::unit::{KUBELET_UNITS, Order, UnitName};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Units whose order is of no interest: nothing that they are ordered after can be ordered after a container runtime, which
/// starts after all of them by its default dependencies.
const EARLY: [&str; 5] =
    ["local-fs-pre.target", "local-fs.target", "sysinit.target", "basic.target", "-.mount"];
/// The beginning of the names of systemd's own services, and suffixes of units without an order of that kind.
const SYSTEMD: &str = "systemd-";
const UNORDERED: [&str; 5] = [".device", ".slice", ".scope", ".swap", ".path"];

/// Options of fstab that take a mount out of the order before local-fs.target (systemd.mount(5), fstab(5)).
const LATE: [&str; 5] = ["nofail", "_netdev", "x-systemd.automount", "x-systemd.after", "x-systemd.requires"];

/// True for options of a line of fstab that systemd may mount after local-fs.target.
pub fn is_late(options: &[u8]) -> bool {
    options.split(|&b| b == b',').any(|option| {
        let name = option.split(|&b| b == b'=').next().unwrap_or_default();
        LATE.iter().any(|late| late.as_bytes() == name)
    })
}

/// The mount units below `paths`, outside of the order before local-fs.target as far as that is known.
pub fn late_mounts(facts: &Facts, paths: [&HostPath; 2]) -> Vec<UnitName> {
    if !matches!(facts.init, Init::Systemd | Init::Offline) {
        return Vec::new();
    }
    let table = facts.file(&HostPath::from(FSTAB)).bytes().unwrap_or_default();
    let entries = fstab::entries(table);
    let points =
        paths.into_iter().flat_map(|path| std::iter::successors(Some(path.clone()), HostPath::parent));
    let late = points.filter(|point| point.parent().is_some()).filter(|point| {
        match fstab::in_effect(&entries, point, &facts.init).first() {
            Some(line) => is_late(&line.options),
            None => top_at(&facts.mounts, point.as_bytes()).is_some(),
        }
    });
    let units: BTreeSet<UnitName> = late.filter_map(|point| mount_unit(&point).ok()).collect();
    units.into_iter().filter(|unit| !facts.has_generated(unit)).collect()
}

/// The units to ask for next: those that `order` names and that may lead to a container runtime.
pub fn to_follow(order: &Order) -> impl Iterator<Item = &UnitName> {
    order.after.iter().filter(|unit| {
        let name = unit.as_str();
        let unordered = UNORDERED.iter().any(|suffix| name.ends_with(suffix));
        !unordered && !name.starts_with(SYSTEMD) && !EARLY.contains(&name)
    })
}

/// The order that a line of fstab gives its mount (systemd.mount(5), `x-systemd.after=`, `x-systemd.requires=`).
pub fn order_by_fstab(facts: &Facts, unit: &UnitName) -> Option<Order> {
    let table = facts.file(&HostPath::from(FSTAB)).bytes()?;
    let entries = fstab::entries(table);
    let line = entries.iter().find(|entry| mount_unit(&entry.point).is_ok_and(|name| name == *unit))?;
    let named = line.options.split(|&b| b == b',').filter_map(|option| {
        let value = ["x-systemd.after=", "x-systemd.requires="]
            .iter()
            .find_map(|key| option.strip_prefix(key.as_bytes()))?;
        UnitName::parse(&shown(value)).ok()
    });
    Some(Order { after: named.collect(), mounts: Vec::new() })
}

/// True for the units that the bridge is ordered before.
pub fn ends_a_chain(facts: &Facts, unit: &UnitName) -> bool {
    let name = unit.as_str();
    KUBELET_UNITS.contains(&name) || name == BOOT_UNIT || facts.detection.unit.as_ref() == Some(unit)
}

/// Refuses a bridge whose unit would close a cycle.
pub(super) fn cycle(facts: &Facts, standard: &HostPath, root: &HostPath) -> Option<Refusal> {
    for mount in late_mounts(facts, [standard, root]) {
        let Some(chain) = chain(&facts.orders, &mount, &|unit| ends_a_chain(facts, unit)) else { continue };
        let last = chain.last().cloned()?;
        let links: Vec<String> = chain
            .windows(2)
            .map(|pair| pair.iter().map(|unit| unit.to_string()).collect::<Vec<_>>().join(" after "))
            .collect();
        let before = chain.iter().rev().nth(1)?;
        return Some(Refusal {
            id: "bridge-order-cycle",
            target: standard.to_string(),
            reason: format!(
                "the bridge lies on {mount} and has to be there before {last}, and {}: at boot systemd would drop one of them",
                links.join(", ")
            ),
            remedy: format!(
                "take {last} out of what {before} is ordered after (systemctl cat {before} shows where; for a line of /etc/fstab \
                 x-systemd.after= or x-systemd.requires=), run systemctl daemon-reload, then csihost apply"
            ),
        });
    }
    None
}

/// The shortest chain of units, each ordered after the next, from `first` to one that `ends` names.
fn chain(
    orders: &BTreeMap<UnitName, Order>,
    first: &UnitName,
    ends: &dyn Fn(&UnitName) -> bool,
) -> Option<Vec<UnitName>> {
    let mut queue = VecDeque::from([vec![first.clone()]]);
    let mut seen = BTreeSet::from([first.clone()]);
    while let Some(chain) = queue.pop_front() {
        let Some(order) = chain.last().and_then(|unit| orders.get(unit)) else { continue };
        for unit in &order.after {
            // A unit that is not started at boot has no place in its order.
            if !orders.contains_key(unit) || !seen.insert(unit.clone()) {
                continue;
            }
            let longer = [chain.as_slice(), std::slice::from_ref(unit)].concat();
            if ends(unit) {
                return Some(longer);
            }
            queue.push_back(longer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Mode;

    fn unit(name: &str) -> UnitName {
        UnitName::parse(name).unwrap()
    }

    fn orders(all: &[(&str, &[&str])]) -> BTreeMap<UnitName, Order> {
        let order = |after: &[&str]| Order {
            after: after.iter().map(|name| unit(name)).collect(),
            mounts: Vec::new(),
        };
        all.iter().map(|(name, after)| (unit(name), order(after))).collect()
    }

    #[test]
    fn the_shortest_chain_to_a_runtime_is_found_also_where_units_go_round() {
        let all = orders(&[
            ("data.mount", &["a.service", "b.service", "-.mount"]),
            ("a.service", &["c.service", "data.mount"]),
            ("b.service", &["docker.service"]),
            ("c.service", &["x.service"]),
            ("x.service", &["docker.service"]),
            ("docker.service", &[]),
            ("d.mount", &["containerd.service"]),
        ]);
        let facts = Facts::new(Mode::Live, Init::Systemd);
        let ends = |unit: &UnitName| ends_a_chain(&facts, unit);
        let found = chain(&all, &unit("data.mount"), &ends).unwrap();
        assert_eq!(found, ["data.mount", "b.service", "docker.service"].map(unit));
        assert_eq!(chain(&all, &unit("d.mount"), &ends), None, "containerd is not started at boot");
        assert_eq!(chain(&all, &unit("c.service"), &|unit| unit.as_str() == "kubelet.service"), None);
    }

    #[test]
    fn only_what_can_lead_to_a_runtime_is_asked_for() {
        let order = Order {
            after: [
                "dev-sdb.device",
                "local-fs-pre.target",
                "systemd-fsck@x.service",
                "cloud-init.service",
                "docker.service",
                "srv.mount",
            ]
            .map(unit)
            .into(),
            mounts: Vec::new(),
        };
        assert_eq!(
            to_follow(&order).map(UnitName::as_str).collect::<Vec<_>>(),
            ["cloud-init.service", "docker.service", "srv.mount"]
        );
    }

    #[test]
    fn options_say_whether_a_mount_is_late() {
        for (options, late) in [
            ("defaults", false),
            ("rw,nofail", true),
            ("_netdev", true),
            ("x-systemd.requires=docker.service", true),
            ("x-systemd.device-timeout=5", false),
        ] {
            assert_eq!(is_late(options.as_bytes()), late, "{options}");
        }
    }
}
