//! Engine: which events belong together. A little quiet ends a burst, and a storm that knows no
//! quiet does not put off the repair.

use std::time::{Duration, Instant};

/// So long nothing more has to come.
pub(super) const QUIET: Duration = Duration::from_millis(100);
/// So long after the first event a burst ends at the latest.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

/// A burst of events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    first: Instant,
    last: Instant,
}

impl Window {
    /// Begins with an event.
    pub(super) fn open(now: Instant) -> Self {
        Self { first: now, last: now }
    }

    /// One more event.
    pub(super) fn event(&mut self, now: Instant) {
        self.last = self.last.max(now);
    }

    /// When it ends, unless something comes before.
    pub(super) fn end(&self) -> Instant {
        (self.last + QUIET).min(self.first + LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_burst_ends_a_second_after_its_first_event_and_not_before_it_is_quiet(
            gaps in proptest::collection::vec(0_u64..300, 0..100)
        ) {
            let start = Instant::now();
            let (mut window, mut now) = (Window::open(start), start);
            for gap in gaps {
                now += Duration::from_millis(gap);
                if now >= window.end() {
                    break;
                }
                window.event(now);
                prop_assert!(window.end() <= start + LONGEST);
                prop_assert!(window.end() == start + LONGEST || window.end() >= now + QUIET);
            }
        }
    }

    #[test]
    fn one_event_waits_for_nothing_but_quiet() {
        let now = Instant::now();
        assert_eq!(Window::open(now).end(), now + QUIET);
    }
}
