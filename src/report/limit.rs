//! Edge: the same message at most once a minute, with how often it came meanwhile.
//!
//! Only of the agent: what a person runs tells everything.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long the same is not told again.
const PAUSE: Duration = Duration::from_secs(60);

/// How long it is known how often something came that was not told.
const REMEMBERED: Duration = Duration::from_secs(3600);

static LIMITS: Mutex<Option<Limits>> = Mutex::new(None);

/// From now on messages are limited.
pub(super) fn begin() {
    if let Ok(mut limits) = LIMITS.lock() {
        limits.get_or_insert_default();
    }
}

/// Whether a message of this kind and about this cause is told now, and what is told with it.
pub(super) fn passes(id: &'static str, cause: &str) -> Option<String> {
    match LIMITS.lock() {
        Ok(mut limits) => match limits.as_mut() {
            Some(limits) => limits.passes(id, cause, Instant::now()),
            None => Some(String::new()),
        },
        Err(_) => Some(String::new()),
    }
}

/// When each message was told last, and how often it came since.
#[derive(Debug, Default)]
struct Limits {
    told: HashMap<(&'static str, String), (Instant, usize)>,
}

impl Limits {
    fn passes(&mut self, id: &'static str, cause: &str, now: Instant) -> Option<String> {
        let key = (id, cause.to_owned());
        let again = match self.told.get_mut(&key) {
            Some((at, unsaid)) if now.duration_since(*at) < PAUSE => {
                *unsaid += 1;
                return None;
            }
            Some((_, 0)) | None => String::new(),
            Some((_, unsaid)) => format!(" ({unsaid} more times since this was told last)"),
        };
        // What was told long ago and came no more is forgotten; how often it came is, too, one day.
        self.told
            .retain(|_, (at, unsaid)| now.duration_since(*at) < if *unsaid > 0 { REMEMBERED } else { PAUSE });
        self.told.insert(key, (now, 0));
        Some(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_a_minute_with_a_count_and_others_at_once() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limits.passes("a", "x", at(0)).as_deref(), Some(""));
        assert_eq!(limits.passes("a", "x", at(1)), None);
        assert_eq!(limits.passes("a", "x", at(59)), None);
        assert_eq!(limits.passes("a", "y", at(59)).as_deref(), Some(""));
        assert_eq!(limits.passes("b", "x", at(59)).as_deref(), Some(""));
        assert_eq!(
            limits.passes("a", "x", at(60)).as_deref(),
            Some(" (2 more times since this was told last)")
        );
        assert_eq!(limits.passes("a", "x", at(120)).as_deref(), Some(""));
    }

    #[test]
    fn what_came_once_takes_no_memory_for_ever() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        for second in 0..600 {
            limits.passes("a", &second.to_string(), start + Duration::from_secs(second));
        }
        assert!(limits.told.len() <= 61);
    }
}
