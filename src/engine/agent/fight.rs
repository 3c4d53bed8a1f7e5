//! Engine: what somebody else undoes again and again is not fought, and what fails again and again is
//! not tried at every event.

use crate::model::plan::{Plan, Refusal};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The same step as often as this within [`SPAN`] is a fight: the last one is not done.
const ENOUGH: usize = 3;
/// How long a step counts.
const SPAN: Duration = Duration::from_secs(600);
/// The first pause in a fight; each is twice the one before.
const FIRST: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST: Duration = Duration::from_secs(3600);
/// The first pause after a failure; each is twice the one before.
const FAILED_FIRST: Duration = Duration::from_secs(5);
/// The longest.
const FAILED_LONGEST: Duration = Duration::from_secs(300);

/// A step's kind and what it changes.
pub(super) type Key = (&'static str, String);

/// Why a step is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Undone,
    Failed,
}

#[derive(Debug, Default)]
struct Record {
    /// When it was done.
    done: Vec<Instant>,
    /// The last pause, and why.
    pause: Option<(Why, Duration)>,
    /// Until when it is left alone.
    until: Option<Instant>,
}

/// A pause that begins now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pause {
    /// Of which step.
    pub(super) key: Key,
    /// How long.
    pub(super) length: Duration,
}

/// What was done lately, and what is left alone.
#[derive(Debug, Default)]
pub(super) struct Fights {
    records: BTreeMap<Key, Record>,
}

impl Fights {
    /// Counts the steps of a plan that is about to be done, and takes those out that are to be left
    /// alone; the pauses that begin with it.
    pub(super) fn admit(&mut self, plan: &mut Plan, now: Instant) -> Vec<Pause> {
        self.forget(now);
        let keys: Vec<Key> =
            plan.steps().map(|(_, step)| (step.action.kind(), step.action.target())).collect();
        // Something else has changed: what was left alone may go well now.
        if keys.iter().any(|key| !self.records.contains_key(key)) {
            self.release(now);
        }
        let begun = keys.into_iter().filter_map(|key| {
            let length = self.records.entry(key.clone()).or_default().planned(now)?;
            Some(Pause { key, length })
        });
        let begun = begun.collect();
        self.withhold(plan, now);
        begun
    }

    /// Takes what is left alone out of a plan, and says so in it.
    pub(super) fn withhold(&self, plan: &mut Plan, now: Instant) {
        let mut held = Vec::new();
        plan.leave_out(|step| {
            let key = (step.action.kind(), step.action.target());
            let record = self.records.get(&key);
            let until = record.and_then(|record| record.until).filter(|&until| until > now);
            if let Some(until) = until {
                let why = record.and_then(|record| record.pause).map_or(Why::Undone, |(why, _)| why);
                held.push(refusal(&key, why, until - now));
            }
            until.is_some()
        });
        plan.refused.extend(held);
    }

    /// A step was tried and failed: that is no fight.
    pub(super) fn failed(&mut self, kind: &str, target: &str, now: Instant) {
        let Some((_, record)) = self.records.iter_mut().find(|((its, of), _)| *its == kind && of == target)
        else {
            return;
        };
        record.done.pop();
        let length = match record.pause {
            Some((Why::Failed, length)) => (length * 2).min(FAILED_LONGEST),
            _ => FAILED_FIRST,
        };
        record.pause = Some((Why::Failed, length));
        record.until = Some(now + length);
    }

    /// When the next pause ends.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.records.values().filter_map(|record| record.until).filter(|&until| until > now).min()
    }

    /// Lets everything be tried once more.
    fn release(&mut self, now: Instant) {
        for record in self.records.values_mut().filter(|record| record.until.is_some()) {
            record.until = Some(now);
        }
    }

    /// Forgets everything: a person asked for it.
    pub(super) fn clear(&mut self) {
        self.records.clear();
    }

    /// Forgets what stayed as it was made.
    fn forget(&mut self, now: Instant) {
        self.records.retain(|_, record| {
            let span = record.pause.map_or(SPAN, |(_, length)| SPAN.max(length * 2));
            record.done.retain(|&done| now.duration_since(done) < span);
            !record.done.is_empty() || record.until.is_some_and(|until| now < until + span)
        });
    }
}

impl Record {
    /// It is in a plan. How long it is left alone, if that begins now.
    fn planned(&mut self, now: Instant) -> Option<Duration> {
        match self.until {
            Some(until) if until > now => return None,
            // The pause is over: one try.
            Some(_) => {
                self.until = None;
                self.done.push(now);
                return None;
            }
            None => {}
        }
        let length = match self.pause {
            Some((Why::Undone, length)) => (length * 2).min(LONGEST),
            _ if self.done.len() + 1 >= ENOUGH => FIRST,
            _ => {
                self.done.push(now);
                return None;
            }
        };
        self.pause = Some((Why::Undone, length));
        self.until = Some(now + length);
        Some(length)
    }
}

fn refusal((kind, target): &Key, why: Why, left: Duration) -> Refusal {
    // To the minute: a refusal that changes with every second would be told with every second.
    let minutes = left.as_secs().div_ceil(60);
    let (reason, remedy) = match why {
        Why::Undone => (
            format!("{kind} was undone by somebody again and again; tried again in {minutes} min or less"),
            "find out who changes it back, then run systemctl reload csihost",
        ),
        Why::Failed => (
            format!("{kind} failed; tried again in {minutes} min or less"),
            "see its error in journalctl -u csihost, then run systemctl reload csihost",
        ),
    };
    Refusal { id: "backing-off", target: target.clone(), reason, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::Action;
    use crate::model::unit::UnitName;
    use proptest::prelude::*;

    fn plan(names: &[&'static str]) -> Plan {
        let mut plan = Plan::default();
        for &name in names {
            plan.push(Action::StartUnit { unit: UnitName::from(name) }, "", &[]);
        }
        plan
    }

    /// Whether `name` is done at `now`.
    fn tried(fights: &mut Fights, name: &'static str, now: Instant) -> bool {
        let mut plan = plan(&[name]);
        fights.admit(&mut plan, now);
        assert_eq!(plan.len() + plan.refused.len(), 1);
        plan.len() == 1
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_third_time_within_ten_minutes_it_is_left_alone_and_longer_each_time() {
        let (mut fights, start) = (Fights::default(), Instant::now());
        let mut now = start;
        assert!(tried(&mut fights, "a.socket", now));
        assert!(tried(&mut fights, "a.socket", now + seconds(1)));
        now += seconds(2);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert!(!tried(&mut fights, "a.socket", now));
            let next = fights.next(now).unwrap();
            pauses.push((next - now).as_secs());
            assert!(!tried(&mut fights, "a.socket", next - seconds(1)));
            assert!(tried(&mut fights, "a.socket", next));
            now = next + seconds(1);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    }

    #[test]
    fn what_comes_rarely_is_no_fight() {
        let (mut fights, start) = (Fights::default(), Instant::now());
        for hour in 0..50 {
            assert!(tried(&mut fights, "a.socket", start + seconds(hour * 301)));
        }
    }

    #[test]
    fn a_fight_that_has_ended_is_forgotten() {
        let (mut fights, start) = (Fights::default(), Instant::now());
        for second in 0..3 {
            tried(&mut fights, "a.socket", start + seconds(second));
        }
        let later = start + seconds(3000);
        for second in 0..2 {
            assert!(tried(&mut fights, "a.socket", later + seconds(second)));
        }
    }

    #[test]
    fn something_else_that_changes_gives_it_one_more_try() {
        let (mut fights, start) = (Fights::default(), Instant::now());
        for second in 0..3 {
            tried(&mut fights, "a.socket", start + seconds(second));
        }
        let mut both = plan(&["a.socket", "b.mount"]);
        fights.admit(&mut both, start + seconds(4));
        assert_eq!((both.len(), both.refused.len()), (2, 0));
        // One more, and not two.
        assert!(!tried(&mut fights, "a.socket", start + seconds(5)));
    }

    #[test]
    fn a_step_that_fails_is_tried_again_after_growing_pauses() {
        let (mut fights, mut now) = (Fights::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(tried(&mut fights, "a.socket", now));
            fights.failed("start-unit", "a.socket", now);
            assert!(!tried(&mut fights, "a.socket", now + seconds(1)));
            let next = fights.next(now).unwrap();
            pauses.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_person_who_asks_for_it_is_obeyed_at_once() {
        let (mut fights, start) = (Fights::default(), Instant::now());
        for second in 0..3 {
            tried(&mut fights, "a.socket", start + seconds(second));
        }
        fights.clear();
        assert!(tried(&mut fights, "a.socket", start + seconds(3)));
    }

    proptest! {
        #[test]
        fn whatever_comes_a_step_is_done_at_most_twice_and_then_once_a_pause(
            gaps in proptest::collection::vec(0_u64..30, 1..200)
        ) {
            let (mut fights, start) = (Fights::default(), Instant::now());
            let (mut now, mut done) = (start, 0_u64);
            for gap in gaps {
                now += seconds(gap);
                done += u64::from(tried(&mut fights, "a.socket", now));
            }
            prop_assert!(done <= 2 + (now - start).as_secs() / 60);
        }
    }
}
