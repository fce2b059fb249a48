//! The store's own background tasks.

use lifecycle::Lifecycle;

use crate::Stores;

pub(crate) fn spawn(_stores: &Stores, _lifecycle: &Lifecycle) {}
