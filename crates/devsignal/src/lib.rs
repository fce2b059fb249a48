//! devsignal
