//! Pure: MicroShift, which has its kubelet within.
//!
//! Set up where microshift.service is there. Nothing moves its root: what its configuration passes on
//! (/etc/microshift/config.yaml, `kubelet:`) is a KubeletConfiguration, and that has no root.

use super::{Found, Start};
use crate::model::kubelet::{Distribution, KubeletRoot};

pub(super) fn declare(found: &mut Found<'_>, start: &Start<'_>) {
    found.declare(Distribution::Microshift, start.unit(), None, KubeletRoot::standard(), None);
}
