//! A plan: what should change, as data that can be shown, compared and tested.

pub use super::action::Action;
use super::align::{AlignRecord, Alignment};
use super::path::HostPath;

/// A step's place in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepId(usize);

/// One change, why it is needed, and what must have gone well before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Steps without which this one is left out.
    pub needs: Vec<StepId>,
}

/// Something that csihost could do and does not, because it would harm.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Stable name.
    pub id: &'static str,
    /// What it is about.
    pub target: String,
    /// Why not.
    pub reason: String,
    /// What to do instead.
    pub remedy: String,
}

/// Something that is to be done, and not in this turn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Later {
    /// What it is about.
    pub target: String,
    /// What it waits for.
    pub reason: String,
}

/// The difference between what is and what should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
    /// What is not done, and why.
    pub refused: Vec<Refusal>,
    /// What waits for another turn, or for a reboot.
    pub later: Vec<Later>,
    /// The kubelet root that the plan's bridge leads to, for turns in which no kubelet says so.
    pub bridge: Option<HostPath>,
    /// How far aligning the kubelet's root is; `None` where nobody asked for it.
    pub alignment: Option<Alignment>,
    /// The root that the plan makes the standard path in the kubelet's eyes, as it is recorded.
    pub aligns: Option<AlignRecord>,
}

impl Plan {
    /// Adds a step that is done once those in `needs` went well.
    pub fn push(&mut self, action: Action, reason: impl Into<String>, needs: &[StepId]) -> StepId {
        self.steps.push(Step { action, reason: reason.into(), needs: needs.to_vec() });
        StepId(self.steps.len() - 1)
    }

    /// Has the steps from `first` on that `which` names need `need`, which was added before them.
    pub fn also_need(&mut self, first: usize, need: StepId, which: impl Fn(&Action) -> bool) {
        for step in self.steps.iter_mut().skip(first).filter(|step| which(&step.action)) {
            step.needs.push(need);
        }
    }

    /// The steps in the order in which they are done.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.steps.iter().enumerate().map(|(index, step)| (StepId(index), step))
    }

    /// The same plan with its steps in the order of [`Action::phase`] and of their needs, and otherwise as they were:
    /// systemd then
    /// has to read its units once, between writing and starting.
    pub fn in_phases(self) -> Self {
        // A step is done no sooner than what it needs, which was added before it.
        let mut phases: Vec<u8> = Vec::new();
        for step in &self.steps {
            let needed = step.needs.iter().filter_map(|need| phases.get(need.0).copied());
            phases.push(needed.fold(step.action.phase(), u8::max));
        }
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        order.sort_by_key(|index| phases.get(*index).copied());
        let moved: Vec<usize> = {
            let mut moved = vec![0; order.len()];
            for (new, old) in order.iter().enumerate() {
                if let Some(place) = moved.get_mut(*old) {
                    *place = new;
                }
            }
            moved
        };
        let mut steps: Vec<(usize, Step)> = self
            .steps
            .into_iter()
            .enumerate()
            .map(|(old, mut step)| {
                let renumber = |id: &StepId| moved.get(id.0).copied().map(StepId);
                step.needs = step.needs.iter().filter_map(renumber).collect();
                (moved.get(old).copied().unwrap_or(old), step)
            })
            .collect();
        steps.sort_by_key(|(new, _)| *new);
        Self { steps: steps.into_iter().map(|(_, step)| step).collect(), ..self }
    }

    /// Takes steps out, and with each those that need it; how many are left out.
    pub fn leave_out(&mut self, mut unwanted: impl FnMut(&Step) -> bool) -> usize {
        let mut out: Vec<bool> = self.steps.iter().map(&mut unwanted).collect();
        let is_out = |out: &[bool], id: &StepId| out.get(id.0).copied().unwrap_or(false);
        loop {
            let before = out.clone();
            for (index, step) in self.steps.iter().enumerate() {
                if let Some(place) = out.get_mut(index) {
                    *place |= step.needs.iter().any(|need| is_out(&before, need));
                }
            }
            if out == before {
                break;
            }
        }
        let places: Vec<usize> = out
            .iter()
            .scan(0, |next, &out| {
                let place = *next;
                *next += usize::from(!out);
                Some(place)
            })
            .collect();
        let mut index = 0;
        self.steps.retain(|_| {
            index += 1;
            !is_out(&out, &StepId(index - 1))
        });
        for step in &mut self.steps {
            step.needs.iter_mut().for_each(|need| need.0 = places.get(need.0).copied().unwrap_or(need.0));
        }
        out.iter().filter(|&&out| out).count()
    }

    /// Keeps the steps of one kind, and nothing else of the plan.
    pub fn keep_only(&mut self, kinds: &[&str]) {
        self.leave_out(|step| !kinds.contains(&step.action.kind()));
        *self = Self { steps: std::mem::take(&mut self.steps), ..Self::default() };
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unit::UnitName;

    #[test]
    fn phases_keep_what_each_step_needs() {
        let unit = |name| UnitName::from(name);
        let mut plan = Plan::default();
        let start = plan.push(Action::StartUnit { unit: unit("a.socket") }, "", &[]);
        let path = HostPath::from("/d");
        let made = plan.push(Action::MakeDirectory { path, mode: 0o750 }, "", &[]);
        plan.push(Action::EnableUnit { unit: unit("b.mount") }, "", &[made, start]);
        let plan = plan.in_phases();
        let kinds: Vec<_> = plan.steps().map(|(_, step)| step.action.kind()).collect();
        assert_eq!(kinds, ["make-directory", "start-unit", "enable-unit"]);
        let needs: Vec<_> = plan.steps().map(|(_, step)| step.needs.clone()).collect();
        assert_eq!(needs, [vec![], vec![], vec![StepId(0), StepId(1)]]);
    }

    #[test]
    fn a_step_that_is_left_out_takes_those_that_need_it_with_it_and_no_others() {
        let start = |name| Action::StartUnit { unit: UnitName::from(name) };
        let mut plan = Plan::default();
        let a = plan.push(start("a.service"), "", &[]);
        let b = plan.push(start("b.service"), "", &[a]);
        let c = plan.push(start("c.service"), "", &[]);
        plan.push(start("d.service"), "", &[b]);
        plan.push(start("e.service"), "", &[c]);
        assert_eq!(plan.leave_out(|step| step.action.target() == "a.service"), 3);
        let left: Vec<_> = plan.steps().map(|(_, step)| (step.action.target(), step.needs.clone())).collect();
        assert_eq!(left, [("c.service".to_owned(), vec![]), ("e.service".to_owned(), vec![StepId(0)])]);
    }
}
