//! eventbus
