//! The mount model against this machine's kernel: random trees of mounts in several mount
//! namespaces, and for each of thousands of new mounts, where the model says that it appears and
//! where it does. It needs root; without it the test says so and passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // Tests.

#[path = "propagation/world.rs"]
mod world;

use csihost::model::mount::{Mount, MountTable};
use csihost::mounts::resolve::{cover, names_of, place, same_directory};
use csihost::mounts::travel::{Groups, Travel, travel};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use world::{Act, Kind, World};

/// How many new mounts are foretold and made; `CSIHOST_PROPAGATION_CASES` says how many in their place (`make quick`).
const CASES: usize = 10_000;
/// A tree with more mounts grows no further: a recursive bind can square them.
const LARGEST: usize = 80;

/// A new mount to foretell.
#[derive(Debug, Clone)]
struct Probe {
    ns: usize,
    at: String,
    /// Of the names of the same directory, which one is tried in return.
    back: usize,
    /// The namespaces that are hidden from the model when it is asked once more.
    hidden: u8,
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b"], 0..5).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![4 => Just(Kind::Shared), 3 => Just(Kind::Slave), 1 => Just(Kind::Private), 1 => Just(Kind::Unbindable)]
}

fn act() -> impl Strategy<Value = Act> {
    let ns = 0..5usize;
    prop_oneof![
        4 => (ns.clone(), path()).prop_map(|(ns, at)| Act::Tmpfs { ns, at }),
        8 => (ns.clone(), path(), path(), any::<bool>())
            .prop_map(|(ns, from, to, recursive)| Act::Bind { ns, from, to, recursive }),
        1 => (ns.clone(), path(), path()).prop_map(|(ns, from, to)| Act::Move { ns, from, to }),
        8 => (ns.clone(), path(), kind(), any::<bool>())
            .prop_map(|(ns, at, kind, recursive)| Act::Make { ns, at, kind, recursive }),
        // The top of the tree matters most.
        2 => (ns.clone(), kind()).prop_map(|(ns, kind)| Act::Make { ns, at: "/".into(), kind, recursive: true }),
        1 => (ns.clone(), path()).prop_map(|(ns, at)| Act::Unmount { ns, at }),
        4 => (ns.clone(), inherited()).prop_map(|(ns, kinds)| Act::Unshare { ns, kinds }),
        1 => ns.prop_map(|ns| Act::End { ns }),
    ]
}

/// What becomes of the mounts of a new namespace; a slave that is then shared passes mounts on.
fn inherited() -> impl Strategy<Value = Vec<Kind>> {
    prop_oneof![
        2 => Just(vec![]),
        2 => Just(vec![Kind::Slave]),
        3 => Just(vec![Kind::Slave, Kind::Shared]),
        1 => kind().prop_map(|kind| vec![kind]),
    ]
}

fn probe() -> impl Strategy<Value = Probe> {
    (0..5usize, path(), any::<usize>(), any::<u8>()).prop_map(|(ns, at, back, hidden)| Probe {
        ns,
        at,
        back,
        hidden,
    })
}

/// Where something is mounted: namespace, parent's mount id, mount point.
type Spots = BTreeSet<(usize, u64, String)>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn new_mounts<'a>(before: &[MountTable], after: &'a [MountTable]) -> Vec<(usize, &'a Mount)> {
    let new = |ns: usize, mount: &Mount| before[ns].by_id(mount.id).is_none();
    let all = after.iter().enumerate().flat_map(|(ns, table)| table.iter().map(move |mount| (ns, mount)));
    all.filter(|&(ns, mount)| new(ns, mount)).collect()
}

fn spots(new: &[(usize, &Mount)]) -> Spots {
    new.iter().map(|(ns, mount)| (*ns, mount.parent, text(&mount.point))).collect()
}

/// How often what matters came up.
#[derive(Debug, Default)]
struct Tally {
    mounts: usize,
    trees: usize,
    travelled: usize,
    hidden: usize,
    slipped_below: usize,
    outside_of_the_root: usize,
    through_two_masters: usize,
    not_knowable: usize,
    both: usize,
    from_first: usize,
    from_second: usize,
    neither: usize,
}

/// A tree, and what of it is tried.
struct Trial<'t> {
    world: World,
    /// The tables as they are now.
    tables: Vec<MountTable>,
    tally: &'t RefCell<Tally>,
}

impl<'t> Trial<'t> {
    fn new(acts: &[Act], tally: &'t RefCell<Tally>) -> Self {
        let mut world = World::new();
        let mut tables = world.tables();
        for act in acts {
            if tables.iter().map(|table| table.iter().len()).sum::<usize>() > LARGEST {
                break;
            }
            world.act(act.clone());
            tables = world.tables();
        }
        tally.borrow_mut().trees += 1;
        Self { world, tables, tally }
    }

    /// Makes a mount, compares where it is with what was foretold, and takes it away.
    fn probe(&mut self, probe: &Probe) -> Result<(), TestCaseError> {
        let ns = probe.ns % self.world.0.len();
        let Some(after) = self.made(ns, &probe.at) else { return Ok(()) };
        self.tally.borrow_mut().mounts += 1;
        let tables = &self.tables;
        let groups = Groups::new(tables);
        let new = new_mounts(tables, &after);

        let foretold = groups.appearances(ns, probe.at.as_bytes()).expect("a root");
        let seen: Spots =
            foretold.iter().map(|copy| (copy.table, copy.parent.id, text(&copy.point))).collect();
        prop_assert_eq!(&seen, &spots(&new), "left: the model, right: the kernel\n{}", shown(tables));
        prop_assert_eq!(seen.len(), foretold.len(), "one appearance was foretold twice");
        for copy in &foretold {
            {
                let mut tally = self.tally.borrow_mut();
                let own = cover(&tables[ns], probe.at.as_bytes()).unwrap();
                tally.travelled += usize::from(copy.parent.id != own.id);
                tally.hidden += usize::from(!copy.visible);
                tally.slipped_below += usize::from(copy.under.is_some());
                let direct = copy.parent.shared == own.shared || copy.parent.master == own.shared;
                tally.through_two_masters += usize::from(!direct);
            }
            let real = |(ns, mount): &&(usize, &Mount)| *ns == copy.table && mount.parent == copy.parent.id;
            let (_, mount) = new.iter().find(real).unwrap();
            let over: Vec<u64> = after[copy.table].children(mount).map(|over| over.id).collect();
            prop_assert_eq!(
                over,
                copy.under.map(|under| under.id).into_iter().collect::<Vec<_>>(),
                "what lies on it"
            );
            let met = self.world.0[copy.table].mount_at(&text(&copy.point));
            prop_assert_eq!(met == Some(mount.id), copy.visible, "visible: {:?}\n{}", copy, shown(tables));
            // A hidden point may lead through the new mount, which is empty.
            let covered = cover(&after[copy.table], &copy.point).map(|mount| mount.id);
            prop_assert!(met.is_none() || met == covered, "{:?} is met, not {:?}", met, covered);
        }

        self.travels(probe, ns, &groups, &seen)?;
        self.some_tables(probe, ns, &seen)?;
        let back = self.chosen(probe, ns);
        let there = back.as_ref().map(|(other, path)| {
            (
                groups.travel(
                    &place(&tables[ns], probe.at.as_bytes()).unwrap(),
                    &place(&tables[*other], path.as_bytes()).unwrap(),
                ),
                *other,
                path.clone(),
            )
        });
        let parent = |ns: usize, path: &str| cover(&tables[ns], path.as_bytes()).unwrap().id;
        let lands =
            |new: &Spots, ns: usize, path: &str| new.contains(&(ns, parent(ns, path), path.to_owned()));
        if let Some((foretold, other, path)) = there {
            let forth = lands(&seen, other, &path);
            self.world.0[ns].unmount(&probe.at);
            // What the kernel made of the tree when the mount went away is another tree.
            if self.world.tables() == *tables
                && let Some(after) = self.made(other, &path)
            {
                let back = lands(&spots(&new_mounts(tables, &after)), ns, &probe.at);
                let mut tally = self.tally.borrow_mut();
                let (expected, count) = match (forth, back) {
                    (true, true) => (Travel::Both, &mut tally.both),
                    (true, false) => (Travel::FromFirst, &mut tally.from_first),
                    (false, true) => (Travel::FromSecond, &mut tally.from_second),
                    (false, false) => (Travel::Neither, &mut tally.neither),
                };
                *count += 1;
                prop_assert_eq!(foretold, expected, "to {} of {}\n{}", path, other, shown(tables));
                self.world.0[other].unmount(&path);
            }
        } else {
            self.world.0[ns].unmount(&probe.at);
        }
        self.tables = self.world.tables();
        Ok(())
    }

    /// The tables with a new mount at `path`, if one can be made there.
    fn made(&self, ns: usize, path: &str) -> Option<Vec<MountTable>> {
        self.world.0[ns].probe(path).ok()?;
        Some(self.world.tables())
    }

    /// A name for the same directory, of any namespace.
    fn chosen(&self, probe: &Probe, ns: usize) -> Option<(usize, String)> {
        let here = place(&self.tables[ns], probe.at.as_bytes())?;
        let names: Vec<_> = (self.tables.iter().enumerate())
            .flat_map(|(ns, table)| {
                names_of(table, here.mount.device, &here.inside).into_iter().map(move |name| (ns, name))
            })
            // Over the root directory a mount is not at the path that it was made at.
            .filter(|(_, name)| name != b"/" && probe.at != "/")
            .collect();
        let (other, name) = names.get(probe.back.checked_rem(names.len())?)?;
        let there = place(&self.tables[*other], name)?;
        assert!(same_directory(&here, &there));
        Some((*other, text(name)))
    }

    /// The pairwise answer is the one about all namespaces, for every mount that shows the directory.
    fn travels(&self, probe: &Probe, ns: usize, groups: &Groups, seen: &Spots) -> Result<(), TestCaseError> {
        if probe.at == "/" {
            return Ok(());
        }
        let here = place(&self.tables[ns], probe.at.as_bytes()).unwrap();
        for (number, table) in self.tables.iter().enumerate() {
            for mount in table.iter().filter(|mount| mount.device == here.mount.device) {
                let shows = mount.root == b"/"
                    || here.inside == mount.root
                    || here.inside.strip_prefix(&mount.root[..]).is_some_and(|rest| rest.starts_with(b"/"));
                let reached = seen.iter().any(|(at, parent, _)| (*at, *parent) == (number, mount.id));
                let forth = matches!(groups.between(here.mount, mount), Travel::Both | Travel::FromFirst);
                self.tally.borrow_mut().outside_of_the_root += usize::from(forth && !shows);
                prop_assert_eq!(forth && shows, reached, "to {:?}\n{}", mount, shown(&self.tables));
                let two = travel(here.mount, &self.tables[ns], mount, table);
                if groups.unseen_above(mount).is_empty()
                    && Groups::new([&self.tables[ns], table]).unseen_above(mount).is_empty()
                {
                    prop_assert_eq!(matches!(two, Travel::Both | Travel::FromFirst), forth);
                }
            }
        }
        Ok(())
    }

    /// With some namespaces hidden nothing false is foretold; and nothing is missing, but on mounts
    /// of which the model says that it cannot know what is above them.
    fn some_tables(&self, probe: &Probe, ns: usize, seen: &Spots) -> Result<(), TestCaseError> {
        let numbers: Vec<usize> = (0..self.tables.len())
            .filter(|&number| number == ns || probe.hidden & (1 << number) == 0)
            .collect();
        let groups = Groups::new(numbers.iter().map(|&number| &self.tables[number]));
        let own = numbers.iter().position(|&number| number == ns).unwrap();
        let foretold: Spots = (groups.appearances(own, probe.at.as_bytes()).unwrap().iter())
            .map(|copy| (numbers[copy.table], copy.parent.id, text(&copy.point)))
            .collect();
        prop_assert!(foretold.is_subset(seen), "{:?} of {:?} is not so", foretold, seen);
        for missing in seen.difference(&foretold).filter(|(number, ..)| numbers.contains(number)) {
            let mount = self.tables[missing.0].by_id(missing.1).unwrap();
            let unseen = groups.unseen_above(mount);
            self.tally.borrow_mut().not_knowable += 1;
            prop_assert!(!unseen.is_empty(), "{:?} of {:?}\n{}", missing, numbers, shown(&self.tables));
        }
        Ok(())
    }
}

/// The tables, as far as the model looks at them.
fn shown(tables: &[MountTable]) -> String {
    let row = |mount: &Mount| {
        let tags =
            [("shared", mount.shared), ("master", mount.master), ("propagate_from", mount.propagate_from)];
        let tags: String =
            tags.iter().filter_map(|(tag, group)| Some(format!(" {tag}:{}", (*group)?))).collect();
        let (root, point) = (text(&mount.root), text(&mount.point));
        format!("  {} {} 0:{} {root} {point}{tags}\n", mount.id, mount.parent, mount.device.minor)
    };
    let table = |(ns, table): (usize, &MountTable)| {
        format!("namespace {ns}:\n{}", table.iter().map(row).collect::<String>())
    };
    tables.iter().enumerate().map(table).collect()
}

#[test]
fn a_new_mount_appears_where_the_model_says_and_nowhere_else() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: mount namespaces need root");
        return;
    }
    // To repeat a run: the number that it printed.
    let given = std::env::var("CSIHOST_PROPAGATION_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    eprintln!("CSIHOST_PROPAGATION_SEED={seed}");
    let cases =
        std::env::var("CSIHOST_PROPAGATION_CASES").map_or(CASES, |cases| cases.parse().expect("a number"));
    let tree = (proptest::collection::vec(act(), 1..60), proptest::collection::vec(probe(), 1..60));
    let tally = RefCell::new(Tally::default());
    for batch in 0.. {
        if tally.borrow().mounts >= cases {
            break;
        }
        let bytes: Vec<u8> = seed.wrapping_add(batch).to_le_bytes().into_iter().cycle().take(32).collect();
        let config = Config {
            cases: 10,
            failure_persistence: None,
            max_shrink_iters: 20_000,
            max_shrink_time: 60_000,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let result = runner.run(&tree, |(acts, probes)| {
            let mut trial = Trial::new(&acts, &tally);
            for probe in &probes {
                trial.probe(probe)?;
            }
            Ok(())
        });
        match result {
            Ok(()) => (),
            Err(TestError::Fail(why, (acts, probes))) => {
                let list: String = acts.iter().map(|act| format!("    {act:?}\n")).collect();
                panic!("seed {seed}: {why}\n  after\n{list}  with {probes:?}");
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    let tally = tally.into_inner();
    eprintln!("{tally:#?}");
    for seen in [
        tally.travelled,
        tally.hidden,
        tally.slipped_below,
        tally.outside_of_the_root,
        tally.through_two_masters,
        tally.not_knowable,
        tally.both,
        tally.from_first,
        tally.from_second,
        tally.neither,
    ] {
        // What is rare is not in each short run.
        assert!(seen > 0 || cases < CASES, "the trees are too simple: {tally:?}");
    }
}
