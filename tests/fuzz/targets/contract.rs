#![no_main]
//! A plugin's arguments, control group and mount table, and the kubelet's mount table: whatever they
//! say, a contract that holds is one where the plugin sees the kubelet's directory.

use csihost::detect::{owner, plugin::claims};
use csihost::model::contract::{Plugin, Plugins, Publisher, Seat, Seen, View};
use csihost::model::kubelet::KubeletRoot;
use csihost::mounts::contract::contracts;
use csihost::mounts::mountinfo::parse;
use csihost::mounts::plugins::{Names, choose};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(4, |&b| b == 0xff);
    let mut part = || parts.next().unwrap_or_default();
    let (args, cgroup, own, host) = (part(), part(), part(), part());
    let args: Vec<Vec<u8>> = args.split(|&b| b == 0).map(<[u8]>::to_vec).collect();
    let root = KubeletRoot::standard();
    let names = Names::new(&root);
    let _ = names.may_publish(own);
    let (Ok(own), Ok(host)) = (parse(&names.without_volumes(own)), parse(host)) else { return };
    let seat = Seat {
        pid: 2,
        owner: owner(cgroup),
        claims: vec![claims(&args)],
        mounts: Some(own),
        ..Seat::default()
    };
    let kubelet = Publisher::unseen(root.clone());
    let seats = [seat];
    let found = choose(&seats, &host, &kubelet, &[])
        .into_iter()
        .map(|one| Plugin {
            seat: seats[one.seat].clone(),
            driver: one.driver,
            registration: one.registration,
            registrar: None,
            view: View::unseen(&root),
        })
        .collect();
    for contract in contracts(&Plugins { kubelet: Some(kubelet), found, ..Plugins::default() }, &host, false) {
        assert!(!contract.holds || contract.seen == Seen::Same);
        assert_eq!(contract.holds, contract.remedy.is_none());
    }
});
