//! What reading and asking large mount tables costs: a host with so many mounts, and the plugins
//! of a hundred pods, each in a namespace of its own that shares the kubelet's directory.
//!
//! Times are the best of several runs, in microseconds.

use csihost::model::mount::MountTable;
use csihost::mounts::mountinfo::{MountinfoError, parse};
use csihost::mounts::resolve::{below, names_of, place};
use csihost::mounts::travel::{Groups, Travel};
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

const PLUGINS: usize = 100;
const ROUNDS: usize = 7;

fn volume(number: usize) -> String {
    format!(
        "/var/lib/kubelet/pods/11111111-2222-3333-4444-{:012}/volumes/kubernetes.io~projected/kube-api-{number}",
        number / 4
    )
}

/// A host's table of `mounts` rows.
fn host(mounts: usize) -> String {
    let mut text = String::from(
        "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
         21 20 8:2 / /var/lib/kubelet rw,relatime shared:2 - ext4 /dev/sda2 rw\n",
    );
    for number in 0..mounts.saturating_sub(2) {
        let (id, group, volume) = (number + 100, number + 10, volume(number));
        let _ = writeln!(
            text,
            "{id} 21 0:{id} / {volume} rw,relatime shared:{group} - tmpfs tmpfs rw,size=16k,inode64"
        );
    }
    text
}

/// A container's table: its own root, the kubelet's directory, and the volumes of its node that
/// have travelled there.
fn plugin(number: usize, volumes: usize) -> String {
    let first = 1_000_000 * (number + 1);
    let (root, kubelet) = (first, first + 1);
    let mut text = format!(
        "{root} 1 0:{first} / / rw,relatime - overlay overlay rw,lowerdir=/a:/b:/c,upperdir=/d,workdir=/e\n\
         {kubelet} {root} 8:2 / /var/lib/kubelet rw,relatime shared:2 - ext4 /dev/sda2 rw\n"
    );
    for number in 0..volumes {
        let (id, device, group, volume) = (first + number + 2, number + 100, number + 10, volume(number));
        let _ = writeln!(
            text,
            "{id} {kubelet} 0:{device} / {volume} rw,relatime shared:{group} - tmpfs tmpfs rw,size=16k,inode64"
        );
    }
    text
}

fn best<T>(work: impl Fn() -> T) -> Duration {
    let once = || {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    };
    (0..ROUNDS).map(|_| once()).min().unwrap_or_default()
}

fn main() -> Result<(), MountinfoError> {
    println!(
        "{:>8} {:>8} | {:>9} {:>9} {:>9} {:>9} {:>9} | {:>9} {:>9}",
        "mounts", "each of", "parse", "first", "100 place", "100 names", "100 below", "parse 100", "travel"
    );
    for mounts in [500, 5_000, 50_000] {
        // What each plugin sees of them: those of its own pod, or (up to a point) all.
        for volumes in [10, mounts.min(5_000)] {
            row(mounts, volumes)?;
        }
    }
    Ok(())
}

fn row(mounts: usize, volumes: usize) -> Result<(), MountinfoError> {
    let text = host(mounts);
    let texts: Vec<String> = (0..PLUGINS).map(|number| plugin(number, volumes)).collect();
    let table = parse(text.as_bytes())?;
    let paths: Vec<String> = (0..100).map(|number| volume(number * mounts / 100)).collect();

    let parsed = best(|| parse(text.as_bytes()));
    // With the making of the index.
    let first = best(|| place(&table.clone(), b"/var/lib/kubelet/pods").map(|place| place.inside));
    let copied = best(|| table.clone());
    place(&table, b"/");
    let places = best(|| paths.iter().filter(|path| place(&table, path.as_bytes()).is_some()).count());
    let names = best(|| {
        let places = paths.iter().filter_map(|path| place(&table, path.as_bytes()));
        places.map(|place| names_of(&table, place.mount.device, &place.inside).len()).sum::<usize>()
    });
    let under = best(|| paths.iter().map(|path| below(&table, path.as_bytes()).count()).sum::<usize>());

    let all = || texts.iter().map(|text| parse(text.as_bytes())).collect::<Result<Vec<MountTable>, _>>();
    let started = Instant::now();
    let plugins = all()?;
    let parsed_all = started.elapsed();
    let started = Instant::now();
    let groups = Groups::new(plugins.iter().chain([&table]));
    let kubelet = place(&table, b"/var/lib/kubelet/pods");
    let travels = plugins.iter().filter(|plugin| {
        let theirs = place(plugin, b"/var/lib/kubelet/pods");
        kubelet
            .as_ref()
            .zip(theirs)
            .is_some_and(|(ours, theirs)| groups.travel(ours, &theirs) == Travel::Both)
    });
    assert_eq!(travels.count(), PLUGINS, "all plugins share the kubelet's directory");
    let travelled = started.elapsed();

    let micros = |time: Duration| time.as_micros();
    println!(
        "{mounts:>8} {volumes:>8} | {:>9} {:>9} {:>9} {:>9} {:>9} | {:>9} {:>9}",
        micros(parsed),
        micros(first.saturating_sub(copied)),
        micros(places),
        micros(names),
        micros(under),
        micros(parsed_all),
        micros(travelled)
    );
    Ok(())
}
