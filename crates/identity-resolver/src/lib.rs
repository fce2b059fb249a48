//! identity-resolver
