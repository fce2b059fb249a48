//! signal-ingest
